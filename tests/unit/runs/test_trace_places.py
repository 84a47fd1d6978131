"""Where root looks for traces by itself."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from datacrumbs.runs.trace_places import TracePlace, size_of, trace_places

from ..probefile.served import served_file, silent_place  # noqa: TID252 - a file system of the tests

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes files of others")
ANN = 12345


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name in ("root/day/mine.pfw.gz", "root/day/other.txt", "ann/hers.pfw.gz", "here.pfw.gz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234567")
    os.chown(tmp_path / "ann", ANN, ANN)
    (tmp_path / "link.pfw.gz").symlink_to(tmp_path / "here.pfw.gz")
    (tmp_path / "linked").symlink_to(tmp_path / "root")
    os.mkfifo(tmp_path / "fifo.pfw.gz")
    return tmp_path


def test_others_directories_are_not_gone_into(top: Path) -> None:
    assert set(trace_places(top)) == {
        TracePlace(top / "root/day/mine.pfw.gz", 0, is_directory=False),
        TracePlace(top / "here.pfw.gz", 0, is_directory=False),
        TracePlace(top / "ann", ANN, is_directory=True),
    }
    assert [place.path for place in trace_places(top, deepest=0)] == [top / "here.pfw.gz"]
    assert list(trace_places(top / "missing")) == []


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="mounts")
def test_a_file_system_of_the_users_is_not_asked(top: Path) -> None:
    """It would say that its files are root's, or keep its answer back for ever."""
    before, asked = set(trace_places(top)), list[int]()
    with served_file(top / "ann", b"x", ANN, may_read=threading.Event(), asked=asked) as path:
        asked.clear()
        found = set(trace_places(top))
        assert list(trace_places(top / "ann")) == []
        assert size_of(str(path)) == 0
        assert asked == []
    assert found == {place for place in before if place.uid == 0}


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="mounts")
def test_a_file_that_a_users_program_serves_is_not_asked_for_its_size(top: Path) -> None:
    """A user can have one in the place of a trace; root once waited for its answer without end."""
    with silent_place(top / "ann/hers.pfw.gz", ANN):
        assert size_of(str(top / "ann/hers.pfw.gz")) == 0


def test_the_size_of_a_trace(top: Path) -> None:
    assert size_of(str(top / "here.pfw.gz")) == 7
    assert size_of(str(top / "nothing")) == 0
    assert size_of("") == 0
    assert size_of("a\0b") == 0
