"""A command that stops and goes on, and the one that records it, which stops and goes on with it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.waiting import SignalWait
from datacrumbs.session import foreground
from datacrumbs.session.foreground import Foreground
from datacrumbs.session.invoker import invoker

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKEN = foreground.SIGNALS - {signal.SIGALRM}  # the tests' own time limit


@pytest.fixture
def command() -> Iterator[tuple[Foreground, int]]:
    """Stops itself, and ends with 7 once something is written to it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
    theirs, ours = os.pipe()
    os.set_inheritable(theirs, True)  # noqa: FBT003 - its only form
    words = ["sh", "-c", f"kill -STOP $$; read word </proc/self/fd/{theirs}; exit 7"]
    yield Foreground(Path("/bin/sh"), words, invoker(os.environ), before), ours
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(theirs)
    os.close(ours)


def until_stopped(process: int) -> None:
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass


def test_a_command_that_is_stopped_again_at_once_stays_stopped(
    command: tuple[Foreground, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by two key strokes, of which the second comes before the one that records has gone on."""
    running, go = command
    stops: list[int] = []

    def stop(number: int) -> None:
        stops.append(number)
        os.kill(running.pid, signal.SIGCONT)  # what a shell does
        if len(stops) == 1:
            os.kill(running.pid, signal.SIGTSTP)
            until_stopped(running.pid)
        else:
            os.write(go, b"\n")

    monkeypatch.setattr(foreground, "stop_as", stop)
    assert running.wait(SignalWait(TAKEN)) == 7 << 8
    assert stops == [signal.SIGSTOP, signal.SIGTSTP]


def test_a_command_goes_on_with_the_one_that_records_it(
    command: tuple[Foreground, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, go = command
    stops: list[int] = []
    monkeypatch.setattr(foreground, "stop_as", stops.append)
    os.write(go, b"\n")
    assert running.wait(SignalWait(TAKEN)) == 7 << 8
    assert stops == [signal.SIGSTOP]
