"""Whether files are the trace that a seal is about, while their owner does what owners can."""

from __future__ import annotations

import gzip
import hashlib
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands._seals import _checked
from datacrumbs.errors import DatacrumbsError
from datacrumbs.seal import comparison
from datacrumbs.seal.comparison import check_parts, differences
from datacrumbs.seal.statement import Seal, SealedPart, Summary
from datacrumbs.trace import reader
from datacrumbs.trace.reader import read_traces

from .test_statement import SUMMARY

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.seal.comparison import FoundFile


def test_files_are_known_by_their_content(tmp_path: Path) -> None:
    content = b"12345"
    digest = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    summary = replace(
        SUMMARY,
        parts=(
            SealedPart("x.pfw.gz", 5, digest),
            SealedPart("x.1.pfw.gz", 7, ""),
            SealedPart("x.2.pfw.gz", 7, "d" * 64),
        ),
    )
    renamed, second, other = tmp_path / "renamed", tmp_path / "x.1.pfw.gz", tmp_path / "other"
    for file in (renamed, second, other):
        file.write_bytes(content if file == renamed else b"")
    with ExitStack() as stack:
        parts, others = check_parts(summary, [renamed, second, other], stack)
    assert [(part.name, part.state, part.path) for part in parts] == [
        ("x.pfw.gz", "matches", renamed),
        ("x.1.pfw.gz", "not read when the run ended", second),
        ("x.2.pfw.gz", "not given", None),
    ]
    assert others == [other]


def test_numbers_that_only_the_kernel_knows() -> None:
    footer = {"entered": 23, "recorded": 13, "filtered": 4, "lost_unwritten": 3, "lost_ring_full": 3}
    assert differences(SUMMARY, footer) == []
    assert "entered: 22 in the trace, 23" in differences(SUMMARY, footer | {"entered": 22})[0]
    assert "lost_ring_full: 0 in the trace, 3" in differences(SUMMARY, footer | {"lost_ring_full": 0})[0]
    assert "19 in the trace, 20" in differences(SUMMARY, footer | {"recorded": 12})[0]


def found_in(summary: Summary, files: list[Path]) -> tuple[list[str], list[Path]]:
    with ExitStack() as stack:
        parts, others = check_parts(summary, files, stack)
        return [part.state for part in parts], others


def test_files_of_other_sizes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their owner can make such as nothing reads to the end; a pipe is not waited for."""
    (tmp_path / "x.pfw.gz").write_bytes(b"12345")
    endless = tmp_path / "a.pfw.gz"
    with endless.open("wb") as stream:
        stream.truncate(1 << 42)
    known = hashlib.sha256(b"12345").hexdigest()
    summary = replace(SUMMARY, parts=(SealedPart("x.pfw.gz", 5, known),))
    read, plain = list[str](), comparison._digest

    def digest(file: FoundFile) -> str:
        read.append(file.path.name)
        return plain(file)

    monkeypatch.setattr(comparison, "_digest", digest)
    assert found_in(summary, [endless, tmp_path / "x.pfw.gz"]) == (["matches"], [endless])
    assert read == ["x.pfw.gz"]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatacrumbsError, match="not a regular file"):
        found_in(summary, [tmp_path / "pipe"])


def test_a_file_that_grows_is_read_as_far_as_it_went(tmp_path: Path) -> None:
    path = tmp_path / "x.pfw.gz"
    path.write_bytes(b"12345")
    summary = replace(SUMMARY, parts=(SealedPart("x.pfw.gz", 5, hashlib.sha256(b"12345").hexdigest()),))
    with ExitStack() as stack:
        (part,), _ = check_parts(summary, [path], stack)
        assert part.file is not None
        assert not part.file.has_changed
        with path.open("ab") as stream:
            stream.write(b"6")
        assert part.file.has_changed
        assert part.file.place.read_bytes() == b"123456"


FOOTER = '{"name":"datacrumbs_footer","cat":"dftracer","ph":"M","pid":0,"tid":0,"args":{"entered":%d}}'


@pytest.mark.parametrize("how", ["file", "directory", "content"])
def test_what_is_exchanged_after_it_was_compared_is_not_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The user, whose the directory is, would show a file with false counts as what was sealed."""
    files = {name: tmp_path / name / "x.pfw.gz" for name in ("sealed", "other")}
    for number, file in enumerate(files.values()):
        file.parent.mkdir()
        file.write_bytes(gzip.compress(f"[\n{FOOTER % number}\n]\n".encode()))
    data = files["sealed"].read_bytes()
    part = SealedPart("x.pfw.gz", len(data), hashlib.sha256(data).hexdigest())
    seal = Seal(replace(SUMMARY, parts=(part,), counts=(("entered", 1),), complete=True), "k")

    def exchanged(paths: list[Path]) -> object:
        if how == "content":
            files["sealed"].write_bytes(files["other"].read_bytes())
        else:
            places = [file if how == "file" else file.parent for file in files.values()]
            places[0].rename(tmp_path / "away")
            places[1].rename(places[0])
        return read_traces(paths)

    monkeypatch.setattr(reader, "read_traces", exchanged)
    with ExitStack() as stack:
        parts, problems = _checked(seal, [files["sealed"]], stack)
    assert [each.state for each in parts] == ["matches"]
    said = "changed while it was read" if how == "content" else "entered: 0 in the trace, 1 by the kernel's counters"
    assert any(problem == f"{files['sealed']}: {said}" for problem in problems)
