"""Runs as units, with a program in place of systemctl: what is not known of a run never ends it."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from datacrumbs.runs import launching
from datacrumbs.runs.kept_run import KeptRun
from datacrumbs.runs.launching import UnitLauncher, until_over
from datacrumbs.serving.limited import NICENESS, be_first

RUN = KeptRun("run-20260101T000000-0123456789abcdef", 0, 0, 0, "", as_unit=True)
SYSTEMCTL = """#!/bin/sh
echo "$1" >>"$0.said"
answer="$0.$1.$(grep -c "^$1$" "$0.said")"
test -e "$answer" || answer="$0.$1"
. "$answer"
"""


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """What it answers to a verb, the first time, the second time and from then on: `systemctl("show", ...)`."""
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setattr(launching, "ENVIRONMENT", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    monkeypatch.setattr(launching, "AGAIN_SECONDS", 0.01)

    def answers(verb: str, *scripts: str) -> None:
        for number, script in enumerate(scripts[:-1], 1):
            Path(f"{program}.{verb}.{number}").write_text(script + "\n")
        Path(f"{program}.{verb}").write_text(scripts[-1] + "\n")

    answers.said = lambda: Path(f"{program}.said").read_text().split()
    return answers


def shown(process: int, state: str) -> str:
    return f"echo MainPID={process}; echo ActiveState={state}"


@pytest.mark.parametrize(
    "unknown",
    [
        "exit 1",
        "true",
        "echo Failed to connect to bus; exit 1",
        "echo MainPID=; echo ActiveState=inactive",
        shown(0, "activating"),
        shown(0, "deactivating"),
        shown(0, "reloading"),
    ],
)
def test_what_is_not_known_is_asked_again(systemctl, unknown):
    systemctl("show", unknown, unknown, shown(4711, "active"))
    assert asyncio.run(UnitLauncher().found(RUN)).pid == 4711
    assert systemctl.said() == ["show"] * 3


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_a_run_that_is_over(systemctl, state):
    systemctl("show", shown(0, state))
    assert asyncio.run(UnitLauncher().found(RUN)).pid == 0


def test_a_run_is_stopped_and_cleaned_up_however_often_it_takes(systemctl):
    systemctl("stop", "exit 1", "exit 1", "exit 0")
    asyncio.run(UnitLauncher().interrupt(RUN))
    assert systemctl.said() == ["stop"] * 3
    systemctl("stop", "exit 5")  # not loaded
    asyncio.run(UnitLauncher().clean_up(RUN, ended_well=True))


def test_a_process_has_not_ended_for_want_of_a_descriptor(monkeypatch):
    monkeypatch.setattr(launching, "AGAIN_SECONDS", 0.01)
    opened, left = os.pidfd_open, [errno.EMFILE, errno.ENFILE]

    def open_(pid):
        if left:
            raise OSError(left.pop(), "no descriptor")
        return opened(pid)

    monkeypatch.setattr(os, "pidfd_open", open_)
    process = os.fork()
    if not process:
        os._exit(0)
    asyncio.run(until_over(process))
    os.waitpid(process, 0)
    assert not left


@pytest.mark.skipif(os.geteuid() != 0, reason="has processors before others")
def test_what_the_service_starts_waits_for_processors_as_others_do():
    """The service itself does not, and a daemon would take from the programs that it traces."""
    niceness = ("sh", "-c", "exit $(cut -d' ' -f19 /proc/$$/stat | tr -d -)")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    try:
        be_first()
        assert os.getpriority(os.PRIO_PROCESS, 0) == NICENESS
        assert asyncio.run(launching.program(niceness)) == 0
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
