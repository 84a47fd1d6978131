"""A command that stops and goes on, and the one that records it, which stops and goes on with it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.daemon.waiting import SignalWait
from datacrumbs.serving.limited import Bounds, answer
from datacrumbs.session import foreground
from datacrumbs.session.foreground import SIGNALS, Foreground, is_stopping
from datacrumbs.session.invoker import invoker

from ...waiting import state_of, until  # noqa: TID252 - helpers of all tests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOUNDS = Bounds(memory=1 << 30, processor_seconds=60, clock_seconds=300)
TAKEN = SIGNALS - {signal.SIGALRM}  # which ends what takes longer than the bounds
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207


@contextmanager
def sleeping(before: Callable[[], object] = bool) -> Iterator[int]:
    """A process that sleeps, for as long as this lasts."""
    child = os.fork()
    if not child:
        before()
        while True:
            signal.pause()
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def recorded(go_on: Callable[[Foreground, int], bool]) -> tuple[int, list[int]]:
    """The exit status of a command that stops itself, and the signals by which what records it has stopped.

    In a process of its own: signals to one that has threads are anybody's.

    Args:
        go_on: What happens while it is stopped, given the command and the number of the stop; gives whether the command
            may end.
    """

    def work() -> bytes:
        stops: list[int] = []
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
        theirs, ours = os.pipe()
        os.set_inheritable(theirs, True)  # noqa: FBT003 - its only form
        words = ["sh", "-c", f"kill -STOP $$; read word </proc/self/fd/{theirs}; exit 7"]

        def stop(number: int) -> None:
            stops.append(number)
            if go_on(command, len(stops)):
                os.write(ours, b"\n")

        foreground.stop_as = stop
        command = Foreground(Path("/bin/sh"), words, invoker(os.environ), mask)
        return json.dumps([os.waitstatus_to_exitcode(command.wait(SignalWait(TAKEN))), stops]).encode()

    status, stops = json.loads(answer(work, BOUNDS, 1000))
    return status, stops


def test_a_command_that_is_stopped_again_at_once_stays_stopped() -> None:
    """As by two key strokes, of which the second comes before the one that records has gone on."""

    def twice(command: Foreground, time: int) -> bool:
        os.kill(command.pid, signal.SIGCONT)  # what a shell does
        if time == 1:
            os.kill(command.pid, signal.SIGSTOP)  # which stops a command without a terminal, too
            while state_of(command.pid) != "T":
                pass
        return time == 2

    assert recorded(twice) == (7, [signal.SIGSTOP, signal.SIGSTOP])


def test_a_command_goes_on_with_the_one_that_records_it() -> None:
    assert recorded(lambda _command, _time: True) == (7, [signal.SIGSTOP])


def test_what_has_had_no_processor_since_it_was_told_to_stop_is_not_going_on() -> None:
    """As a process that a debugger holds."""
    kernel = ctypes.CDLL(None, use_errno=True)
    with sleeping() as process:
        assert not is_stopping(process)
        assert kernel.ptrace(PTRACE_SEIZE, process, None, None) == 0
        assert kernel.ptrace(PTRACE_INTERRUPT, process, None, None) == 0
        until(lambda: state_of(process) == "t")
        assert not is_stopping(process)
        os.kill(process, signal.SIGTSTP)
        assert is_stopping(process)


def test_a_stop_that_a_process_does_not_take_does_not_stop_it() -> None:
    with sleeping(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})) as process:
        until(lambda: state_of(process) == "S")
        os.kill(process, signal.SIGTSTP)
        assert not is_stopping(process)
        os.kill(process, signal.SIGSTOP)
        until(lambda: state_of(process) == "T")
        assert is_stopping(process)
    assert not is_stopping(process)
