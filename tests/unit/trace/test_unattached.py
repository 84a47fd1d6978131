from __future__ import annotations

import gzip
import json
import os
from functools import partial
from pathlib import Path

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.trace import unattached
from datacrumbs.trace.unattached import MOST, Failure, Unattached, read_unattached, unattached_entries, unattached_in

FIRST = Unattached("ab" * 20, "uprobe", "write", 0x1F40)
ODD = Unattached("6.1.0-53-amd64", "kprobe", "ns::f(int, char)\nx", 0)


def trace(path: Path, *lines: object) -> Path:
    text = "[\n" + "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines) + "]\n"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def provenance(arguments: object) -> dict[str, object]:
    return {"name": "datacrumbs_provenance", "cat": "dftracer", "ph": "M", "pid": 0, "tid": 0, "args": arguments}


def test_what_is_written_is_read() -> None:
    entries = unattached_entries({FIRST: "Invalid argument", ODD: "Operation not supported"})
    assert all(isinstance(text, str) for text in (*entries, *entries.values()))
    of_trace = partial(Failure, trace="/t", providers={"posix": "datacrumbs-posix 2"})
    said = {"kernel": "6.1", **entries, "plan": "x", "provider posix": "datacrumbs-posix 2"}
    assert read_unattached(said, Path("/t")) == {
        FIRST: of_trace("kernel 6.1: Invalid argument"),
        ODD: of_trace("kernel 6.1: Operation not supported"),
    }
    assert read_unattached(said | {"host": "n1"}, Path("/t"))[FIRST] == of_trace("on n1, kernel 6.1: Invalid argument")


def test_a_trace_names_a_bounded_number() -> None:
    many = {Unattached("ab", "uprobe", "f", offset): "x" for offset in range(MOST + 1)}
    assert len(unattached_entries(many)) == MOST


@pytest.mark.parametrize(
    "key",
    ["", "not attached", "not attached uprobe ab 12 f", "not attached uprobe ab 0x12", "target not attached", "plan"],
)
def test_other_keys_are_none(key: str) -> None:
    assert read_unattached({key: "x"}, Path("/t")) == {}


def test_what_traces_say_is_taken_together(tmp_path: Path) -> None:
    one = trace(tmp_path / "one.pfw.gz", {"name": "read"}, provenance({"kernel": "5.15", FIRST.key: "a"}))
    two = trace(tmp_path / "two.pfw.gz", provenance({"kernel": "6.1", ODD.key: "b"}), provenance([1]), provenance({}))
    named = trace(tmp_path / "named.pfw.gz", {"name": "x", "args": {"datacrumbs_provenance": FIRST.key}})
    assert unattached_in([one, two, named]) == {
        FIRST: Failure("kernel 5.15: a", str(one)),
        ODD: Failure("kernel 6.1: b", str(two)),
    }


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatacrumbsError, match="nowhere"):
        unattached_in([tmp_path / "nowhere"])


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of others")
def test_another_users_trace_leaves_nothing_out(tmp_path: Path) -> None:
    """Its writer could leave any function out of root's plan, also by a trace that takes a trace of root's place."""
    forged = trace(tmp_path / "forged.pfw.gz", provenance({"kernel": "6.1", FIRST.key: "x"}))
    os.chown(forged, 4711, 4711)
    link = tmp_path / "link.pfw.gz"
    link.symlink_to(forged)
    for path in (forged, link):
        with pytest.raises(DatacrumbsError, match=f"{path}: another user's trace") as caught:
            unattached_in([path])
        assert caught.value.exit_code == ExitCode.REFUSED


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_roots_trace_counts_for_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = trace(tmp_path / "own.pfw.gz", provenance({"kernel": "6.1", FIRST.key: "x"}))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert FIRST in unattached_in([own])


def test_what_is_read_of_traces_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "not attached uprobe abc 0x10 f"
    long = trace(tmp_path / "long.pfw.gz", provenance({key: "x", "y": "z" * (1 << 20)}))
    assert unattached_in([long]) == {}
    wordy = trace(tmp_path / "wordy.pfw.gz", provenance({key: "x" * 1000}))
    assert [len(failure.reason) for failure in unattached_in([wordy]).values()] == [200]
    monkeypatch.setattr(unattached, "_MOST_READ", 0)
    with pytest.raises(DatacrumbsError, match=r"wordy.*more than 0 functions"):
        unattached_in([wordy])
