"""How much is done for gzip members, many of which may have hardly any text."""

from __future__ import annotations

import gzip
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from datacrumbs.report import run_facts
from datacrumbs.trace import inflating
from datacrumbs.trace.inflating import ERRORS, Members
from datacrumbs.trace.members import READ_SIZE, SLICE_SIZE, TraceText, first_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MEMBERS = 30_000
START = gzip.compress(b"[\n", mtime=0)
NOTHING = gzip.compress(b"", mtime=0)
KINDS = {
    "empty": NOTHING,
    "one character": gzip.compress(b"\n", mtime=0),
    "a head that is not ours": bytes((*NOTHING[:3], 4, *NOTHING[4:10], 0, 0)) + NOTHING[10:],
    "a name": bytes((*NOTHING[:3], 8, *NOTHING[4:10])) + b"n\0" + NOTHING[10:],
}


class Given:
    """An inflater that counts what it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = self.times = 0
        self._make = inflating._inflating.decompressobj
        monkeypatch.setattr(inflating, "_inflating", SimpleNamespace(decompressobj=self.inflater))

    def inflater(self, wbits: int) -> SimpleNamespace:
        given, inner = self, self._make(wbits=wbits)

        class Counting:
            def decompress(self, data: bytes, most: int) -> bytes:
                given.bytes += len(data)
                given.times += 1
                return bytes(inner.decompress(data, most))

            def __getattr__(self, name: str) -> object:
                return getattr(inner, name)

        return Counting()  # type: ignore[return-value]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    return Given(monkeypatch)


def by_chunks(path: Path) -> list[int]:
    return [len(chunk) for chunk in TraceText(path).chunks()]


def by_pieces(path: Path) -> list[int]:
    return list(TraceText(path).worked(lambda texts: sum(map(len, texts))))


def in_slices(path: Path) -> list[int]:
    """As a piece of whole members is read by one thread."""
    texts: list[int] = []
    list(TraceText(path).worked(lambda found: texts.extend(map(len, found))))
    return texts


@pytest.mark.parametrize("member", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("read", [by_chunks, by_pieces])
def test_small_members_take_no_longer_than_their_bytes(
    tmp_path: Path, given: Given, member: bytes, read: Callable[[Path], list[int]]
) -> None:
    """Each once gave an inflater, which copies what is behind its member, all that was read."""
    path = tmp_path / "t.pfw.gz"
    path.write_bytes(START + member * MEMBERS)
    read(path)
    assert given.bytes < 32 * path.stat().st_size
    assert given.times < 3 * MEMBERS


def test_texts_of_small_members_come_together(tmp_path: Path) -> None:
    path = tmp_path / "t.pfw.gz"
    path.write_bytes(START + KINDS["one character"] * MEMBERS)
    texts = in_slices(path)
    assert sum(texts) == 2 + MEMBERS
    assert len(texts) < MEMBERS / 500


def test_large_members_are_given_in_large_slices(given: Given) -> None:
    large = gzip.compress(os.urandom(1 << 20), mtime=0)
    texts = Members(large * 3, SLICE_SIZE, 96 << 20, SLICE_SIZE).texts()
    assert sum(map(len, texts)) == 3 << 20
    assert given.times < 3 * (len(large) / SLICE_SIZE + 2)


@pytest.mark.parametrize("most_text", [1 << 16, 16 << 20])
def test_members_of_all_sizes_are_read_whole(given: Given, most_text: int) -> None:
    """Large ones between small ones have little beyond them given twice."""
    sizes = [0, 1, 70_000, 0, 300, 300_000, 5, 0, 0, 2_000_000, 1] * 3
    data = [os.urandom(size) for size in sizes]
    whole = b"".join(gzip.compress(each, 1, mtime=0) for each in data)
    for largest in (SLICE_SIZE, READ_SIZE):
        given.bytes = 0
        members = Members(whole, largest, most_text, 100)
        assert b"".join(members.texts()) == b"".join(data)
        assert members.is_whole
        assert given.bytes < 4 * len(whole)


def test_what_precedes_damage_comes_out() -> None:
    members = Members(NOTHING + gzip.compress(b"some\n") + NOTHING[:10] + b"\xff" * 20, SLICE_SIZE, 100, 100)
    texts = members.texts()
    assert next(texts) == b"some\n"
    with pytest.raises(ERRORS):
        next(texts)
    assert not members.has_text


def test_what_is_cut_is_not_whole() -> None:
    members = Members(gzip.compress(b"some\n" * 100)[:-5], SLICE_SIZE, 100, 0)
    assert b"".join(members.texts()) == b"some\n" * 100
    assert not members.is_whole


def test_the_beginning_of_a_trace_is_looked_for_in_its_beginning_alone(tmp_path: Path, given: Given) -> None:
    """Whose run a file is of, its first lines say; a user's file may have them behind any number of empty members."""
    path = tmp_path / "t.pfw.gz"
    path.write_bytes(START + NOTHING * (3 * READ_SIZE // len(NOTHING)) + gzip.compress(b"late\n"))
    assert first_text(path, 100) == b"[\n"
    assert given.times < 2 * READ_SIZE / len(NOTHING)
    assert run_facts._run_of(path) is None
    path.write_bytes(gzip.compress(b"[\nlong\n" * 100))
    assert first_text(path, 4) == b"[\nlo"
