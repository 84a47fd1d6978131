"""The report that follows a recording."""

from __future__ import annotations

import gc
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from datacrumbs.session.foreground import ENDING, stop_as

PATH_MAX = 4096

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.daemon.waiting import SignalWait
    from datacrumbs.session.invoker import Invoker


class RecordReport:
    """A process that prints the report on a trace to standard error.

    It begins before there is a trace, since what makes a report takes a while to import. By the user's own rights:
    what it reads was written as that user.

    Args:
        user: Whose.
        written: The trace, which is no run's any more when that has ended: the process lets go of it.
        as_json: Print JSON.
    """

    def __init__(self, user: Invoker, written: BinaryIO, *, as_json: bool) -> None:
        theirs, self._trace = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if not self._pid:
            os.close(self._trace)
            written.close()
            _be_the_report(user, theirs, ["--json"] if as_json else [])
        os.close(theirs)

    def print(self, trace: Path, signals: SignalWait) -> None:
        """Have it printed, and wait for it.

        Args:
            trace: Which.
            signals: Those that end this one end the report, which is stopped and continued with this one.
        """
        with suppress(BrokenPipeError):
            os.write(self._trace, os.fsencode(trace))
        os.close(self._trace)
        while True:
            ended, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
            if ended and not os.WIFSTOPPED(status):
                return
            if ended:
                stop_as(os.WSTOPSIG(status))
                os.kill(self._pid, signal.SIGCONT)
                continue
            taken = signals.take(float("inf"))
            if taken is not None and taken.si_signo in ENDING:
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Have none."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._trace)


def _be_the_report(user: Invoker, trace: int, words: list[str]) -> NoReturn:
    try:
        os.dup2(2, 1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        user.become()
        from datacrumbs.commands._main import main
        from datacrumbs.commands.report import COMMAND

        COMMAND.load()
        gc.freeze()
        path = b""
        while part := os.read(trace, PATH_MAX):
            path += part
        if path:
            main(COMMAND, [os.fsdecode(path), *words])
    finally:
        os._exit(0)
