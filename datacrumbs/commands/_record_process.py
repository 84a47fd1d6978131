"""What ``datacrumbs_record -p PID`` does: a process that runs already, until it ends, a limit is reached or Ctrl-C."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._record_session import Session
from datacrumbs.daemon.chosen_processes import choose
from datacrumbs.errors import DatacrumbsError, ExitCode, usage_error
from datacrumbs.output import inform
from datacrumbs.session.foreground import ENDING, stop_as
from datacrumbs.session.invoker import owner_of
from datacrumbs.session.worker import Worker

if TYPE_CHECKING:
    import argparse
    from contextlib import ExitStack
    from typing import Any

    from datacrumbs.daemon.waiting import SignalWait
    from datacrumbs.session.composition_request import CompositionRequest
    from datacrumbs.session.invoker import Invoker
    from datacrumbs.session.served_run import Recording
    from datacrumbs.session.trace_file import NewTrace


class ProcessSession(Session):
    """A recording without a command.

    Args:
        options: The command line.
        mask: The signals that were blocked.
        signals: Those that are taken one by one.
    """

    def __init__(self, options: argparse.Namespace, mask: set[int], signals: SignalWait) -> None:
        self._process = int(options.pid)
        super().__init__(options, [_name_of(self._process)], mask, signals)
        self._descriptor = -1

    # Root may name anyone's process: then it is traced as its user's, and the trace is root's.
    def _subject(self) -> Invoker:
        return self._user if self._user.uid else owner_of(self._process)

    @property
    def _what(self) -> str:
        return f"-p {self._process}"

    def _recorded(self) -> int:
        self._chosen = choose([self._process], None)
        # Which process this is, the kernel side compares by its beginning: a later one of this number is not taken.
        try:
            self._descriptor = os.pidfd_open(self._process)
        except OSError:
            raise usage_error(f"--pid: {self._process}: no such process") from None
        return super()._recorded()

    def _composing(self, request: CompositionRequest) -> dict[str, Any]:
        from datacrumbs.session.own_plan import compose_plan_of_process

        return compose_plan_of_process(self._process, request, self._paths)

    def _followed(self, recording: Recording, trace: NewTrace, failing: ExitStack) -> int:
        if os.geteuid() != 0:
            self._ask_for_it(recording)
        failing.pop_all()
        limit = ", or a limit is reached" if self._options.duration or self._options.max_size else ""
        inform(f"recording process {self._process} until it ends{limit}; Ctrl-C ends the recording")
        while not recording.ended:
            taken = self._signals.take(float("inf"), [recording.fileno(), self._descriptor])
            if taken is None:
                if select.select([self._descriptor], [], [], 0)[0]:
                    break  # it has ended
                recording.listen()
            elif taken.si_signo in ENDING:
                break
            elif taken.si_signo in self.STOPPING:
                stop_as(taken.si_signo)
        self._finish(recording, trace)
        return ExitCode.DONE

    # A run that the service has started takes what its user asks it for, as of any run of that user.
    def _ask_for_it(self, recording: Recording) -> None:
        from datacrumbs.session.served_run import asked_for_process

        problem = self._answered(Worker(self._user, lambda: asked_for_process(recording.run_id, self._process)))
        if select.select([self._descriptor], [], [], 0)[0]:  # and another one may have got its number
            raise DatacrumbsError(f"process {self._process} has ended")
        if problem:
            raise DatacrumbsError(problem, hint="it must be open to you as to a debugger of yours (ptrace(2))")

    # What a probe file is for is no command here, and there is nothing to run untraced.
    def _file(self) -> Path:
        return Path(f"/proc/{self._process}/exe")

    def _untraced(self, error: DatacrumbsError) -> int:
        raise error


def _name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip() or str(process)
    except OSError:
        return str(process)
