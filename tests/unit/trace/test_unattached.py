from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.trace import unattached
from datacrumbs.trace.unattached import MOST, Unattached, read_unattached, unattached_entries, unattached_in

if TYPE_CHECKING:
    from pathlib import Path

FIRST = Unattached("ab" * 20, "uprobe", "write", 0x1F40)
ODD = Unattached("6.1.0-53-amd64", "kprobe", "ns::f(int, char)\nx", 0)


def trace(path: Path, *lines: object) -> Path:
    text = "[\n" + "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines) + "]\n"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def provenance(arguments: object) -> dict[str, object]:
    return {"name": "datacrumbs_provenance", "cat": "dftracer", "ph": "M", "pid": 0, "tid": 0, "args": arguments}


def test_what_is_written_is_read() -> None:
    entries = unattached_entries({FIRST: "Invalid argument", ODD: "failed before"})
    assert all(isinstance(text, str) for text in (*entries, *entries.values()))
    assert read_unattached({"kernel": "6.1", **entries, "plan": "x"}) == {
        FIRST: "kernel 6.1: Invalid argument",
        ODD: "kernel 6.1: failed before",
    }


def test_a_trace_names_a_bounded_number() -> None:
    many = {Unattached("ab", "uprobe", "f", offset): "x" for offset in range(MOST + 1)}
    assert len(unattached_entries(many)) == MOST


@pytest.mark.parametrize(
    "key",
    ["", "not attached", "not attached uprobe ab 12 f", "not attached uprobe ab 0x12", "target not attached", "plan"],
)
def test_other_keys_are_none(key: str) -> None:
    assert read_unattached({key: "x"}) == {}


def test_what_traces_say_is_taken_together(tmp_path: Path) -> None:
    one = trace(tmp_path / "one.pfw.gz", {"name": "read"}, provenance({"kernel": "5.15", FIRST.key: "a"}))
    two = trace(tmp_path / "two.pfw.gz", provenance({"kernel": "6.1", ODD.key: "b"}), provenance([1]), provenance({}))
    named = trace(tmp_path / "named.pfw.gz", {"name": "x", "args": {"datacrumbs_provenance": FIRST.key}})
    assert unattached_in([one, two, named]) == {FIRST: "kernel 5.15: a", ODD: "kernel 6.1: b"}


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatacrumbsError, match="nowhere"):
        unattached_in([tmp_path / "nowhere"])


def test_what_is_read_of_traces_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be another user's."""
    key = "not attached uprobe abc 0x10 f"
    long = trace(tmp_path / "long.pfw.gz", provenance({key: "x", "y": "z" * (1 << 20)}))
    assert unattached_in([long]) == {}
    wordy = trace(tmp_path / "wordy.pfw.gz", provenance({key: "x" * 1000}))
    assert [len(reason) for reason in unattached_in([wordy]).values()] == [200]
    monkeypatch.setattr(unattached, "_MOST_READ", 0)
    with pytest.raises(DatacrumbsError, match=r"wordy.*more than 0 functions"):
        unattached_in([wordy])
