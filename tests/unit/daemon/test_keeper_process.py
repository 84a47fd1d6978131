"""The process that removes root's files of a run when the run is over, in whichever way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.run_files import RunFiles, is_locked

from ...waiting import until  # noqa: TID252 - a helper of all tests

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root's files")
ME = Owner(0, 0, "root")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def children() -> set[int]:
    return set(map(int, Path("/proc/thread-self/children").read_text().split()))


def with_a_keeper(directory: Path) -> tuple[RunFiles, int]:
    files, before = RunFiles(directory, "7"), children()
    files.leave_to_a_process()
    (keeper,) = children() - before
    return files, keeper


def test_it_removes_the_files_of_its_run_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    files = RunFiles(tmp_path, "7")
    files.leave_to_a_process()
    files.announce(tmp_path / "trace", ME)
    assert names(tmp_path) == ["datacrumbs-7.lock", "datacrumbs-7.ready", "other"]
    files.close()
    assert names(tmp_path) == ["other"]
    RunFiles(tmp_path, "7").close()


def test_it_does_so_when_the_process_that_traces_was_killed_and_no_longer_root(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        files = RunFiles(tmp_path, "7")
        files.leave_to_a_process()
        files.announce(tmp_path / "trace", ME)
        os.setresuid(1, 1, 1)
        os.write(writing, b"x")
        signal.pause()
        os._exit(0)
    os.read(reading, 1)
    assert is_locked(tmp_path / "datacrumbs-7.lock")
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    until(lambda: not names(tmp_path))
    os.close(reading)
    os.close(writing)


def test_the_lock_is_held_for_as_long_as_one_of_the_two_is_there(tmp_path: Path) -> None:
    files, keeper = with_a_keeper(tmp_path)
    os.kill(keeper, signal.SIGKILL)
    assert is_locked(tmp_path / "datacrumbs-7.lock")
    files.close()  # root still is what it needs to be
    assert names(tmp_path) == []


def test_it_is_root_without_privileges_and_confined(tmp_path: Path) -> None:
    files, keeper = with_a_keeper(tmp_path)
    status = Path(f"/proc/{keeper}/status")
    until(lambda: _lines(status)["Seccomp"] == ["2"])  # the last that it does before it waits
    found = _lines(status)
    files.close()
    assert set(found["Uid"] + found["Gid"]) == {"0"}
    assert {found[key][0] for key in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")} == {"0" * 16}
    assert found["NoNewPrivs"] == ["1"]


def _lines(status: Path) -> dict[str, list[str]]:
    return {line.split(":")[0]: line.split()[1:] for line in status.read_text().splitlines()}
