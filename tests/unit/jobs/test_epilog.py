"""Ends of jobs where systemd does not answer: a prolog or an epilog that hangs takes its node out of service."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from datacrumbs.jobs import prolog
from datacrumbs.jobs.epilog import end_run
from datacrumbs.jobs.job_notes import JobNotes
from datacrumbs.runs import launching
from datacrumbs.runs.kept_run import KeptRun
from datacrumbs.system import SystemPaths, make_searched

if TYPE_CHECKING:
    from pathlib import Path

RUN = KeptRun("4711", 0, 0, 0, "", as_unit=True)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SystemPaths:
    """An installation on a host whose systemctl fails."""
    (tmp_path / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setattr(launching, "ENVIRONMENT", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    monkeypatch.setattr(launching, "AGAIN_SECONDS", 0.01)
    paths = SystemPaths(tmp_path)
    paths.configuration.mkdir(parents=True)
    paths.system_file.write_text("epilog_seconds: 0.3\nprolog_seconds: 0.3\n")
    notes = JobNotes(paths, "slurm-4711")
    make_searched(paths.jobs)
    notes.keep(RUN)
    return paths


def test_an_epilog_ends_where_systemd_does_not_answer(paths: SystemPaths) -> None:
    lock = paths.run / "datacrumbs-4711.lock"
    lock.touch()
    assert not end_run("slurm-4711", paths)
    lock.unlink()
    assert JobNotes(paths, "slurm-4711").run is None


def test_a_prolog_ends_where_a_former_run_cannot_be_ended(paths: SystemPaths) -> None:
    prolog.interrupt(RUN, paths, time.monotonic() + 0.3)


def test_a_note_of_a_later_version_is_read(paths: SystemPaths) -> None:
    (note,) = [path for path in paths.jobs.iterdir() if path.suffix != ".task"]
    note.write_text(json.dumps({**asdict(RUN), "later": 1}))
    assert JobNotes(paths, "slurm-4711").run == RUN
    note.write_text("[1]")
    assert JobNotes(paths, "slurm-4711").run is None
