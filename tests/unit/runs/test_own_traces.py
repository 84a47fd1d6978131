from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.run_files import create_trace
from datacrumbs.errors import DatacrumbsError
from datacrumbs.runs.own_traces import COMPLETE, INCOMPLETE, WRITTEN, last_trace, own_traces
from datacrumbs.system import SystemPaths
from datacrumbs.trace.last_line import footer_of

if TYPE_CHECKING:
    from pathlib import Path

FOOTER = b'{"name":"datacrumbs_footer","cat":"dftracer","ph":"M","pid":0,"tid":0,"args":{"entered":7,"host":"x"}}\n]\n'


def trace(path: Path, moment: int, last: bytes = FOOTER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"[\n") + gzip.compress(last))
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def paths(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return SystemPaths(tmp_path)


def test_the_last_one_comes_first_and_says_whether_it_is_complete(paths, tmp_path):
    trace(tmp_path / "here/datacrumbs-dd-20260101T000000.pfw.gz", 3000)
    trace(paths.traces / "root/2026-01-01/probes-23-host.pfw.gz", 2000)
    trace(paths.traces / "root/2026-01-01/cut.pfw.gz", 4000, b"{}\n")
    if os.geteuid() != 0:
        pytest.skip("others' traces are root's to see")
    found = [(each.run, each.command, each.state) for each in own_traces(paths)]
    assert found == [
        ("cut", "", INCOMPLETE),
        ("datacrumbs-dd-20260101T000000", "dd", COMPLETE),
        ("probes-23-host", "", COMPLETE),
    ]
    assert last_trace(paths).name == "datacrumbs-dd-20260101T000000.pfw.gz"


def test_one_that_is_open_is_being_written(paths, tmp_path):
    owner = Owner(os.geteuid(), os.getegid(), "me")
    with create_trace(tmp_path / "here", ("t.pfw.gz",), owner) as stream:
        stream.write(gzip.compress(b"[\n"))
        copy = os.dup(stream.fileno())
        assert [each.state for each in own_traces(paths)] == [WRITTEN]
    assert [each.state for each in own_traces(paths)] == [WRITTEN]  # another process of the run has it
    os.close(copy)
    assert [each.state for each in own_traces(paths)] == [INCOMPLETE]


def test_without_a_trace_it_says_so(paths):
    with pytest.raises(DatacrumbsError, match="no trace is given, and you have none"):
        last_trace(paths)


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08", b"text", gzip.compress(b"[1]\n"), gzip.compress(FOOTER)[:-1]])
def test_what_has_no_footer(tmp_path, data):
    path = tmp_path / "t.pfw.gz"
    path.write_bytes(data)
    assert footer_of(path) is None


def test_a_footer_is_numbers(tmp_path):
    assert footer_of(trace(tmp_path / "t.pfw.gz", 1)) == {"entered": 7}


def test_links_are_not_followed(paths, tmp_path):
    target = trace(tmp_path / "elsewhere/t.pfw.gz", 1)
    (tmp_path / "here/link.pfw.gz").symlink_to(target)
    assert own_traces(paths) == []
