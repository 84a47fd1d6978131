"""One command at a time starts or ends the run of a job: another one waits, and says so where that takes too long."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

from datacrumbs.jobs.job_notes import JobNotes
from datacrumbs.system import SystemPaths, make_searched

if TYPE_CHECKING:
    from pathlib import Path

BOUND = 300.0


def notes_of(directory: Path, job: str = "plain-1") -> JobNotes:
    paths = SystemPaths(directory)
    make_searched(paths.jobs)
    return JobNotes(paths, job)


def test_another_process_waits(tmp_path: Path) -> None:
    notes = notes_of(tmp_path)
    fork = multiprocessing.get_context("fork")
    begun, may_end = fork.Event(), fork.Event()

    def hold() -> None:
        with notes.held(0) as is_held:
            assert is_held
            begun.set()
            may_end.wait(BOUND)

    other = fork.Process(target=hold)
    other.start()
    assert begun.wait(BOUND)
    with notes.held(0.05) as is_held:
        assert not is_held
    with notes_of(tmp_path, "plain-2").held(0) as is_held:
        assert is_held
    may_end.set()
    with notes.held(BOUND) as is_held:
        assert is_held
    other.join(BOUND)
    assert other.exitcode == 0
    assert not any(SystemPaths(tmp_path).jobs.iterdir())


def test_what_supervises_a_run_keeps_no_other_from_ending_it(tmp_path: Path) -> None:
    """Its starter may be killed in the middle."""
    notes = notes_of(tmp_path)
    here, there = os.pipe()
    starter = os.fork()
    if not starter:
        with notes.held(0):
            if not os.fork():
                os.close(there)
                os.read(here, 1)
            os._exit(0)
    os.waitpid(starter, 0)
    with notes.held(0) as is_held:
        assert is_held
    os.close(there)
    os.close(here)
