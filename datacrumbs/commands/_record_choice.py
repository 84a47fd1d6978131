"""Which recording ``datacrumbs_record`` makes: of a command, or of a process that runs already."""

from __future__ import annotations

import gc
import signal
from typing import TYPE_CHECKING

from datacrumbs.commands._record_session import Session
from datacrumbs.daemon.waiting import SignalWait
from datacrumbs.errors import usage_error
from datacrumbs.model.plan import Mode
from datacrumbs.session.foreground import SIGNALS, end_as

if TYPE_CHECKING:
    import argparse


def record(options: argparse.Namespace) -> int:
    """Record a command; gives its exit status, or dies of the signal that it died of.

    Raises:
        DatacrumbsError: (exit 125) The command was not run, since it could not be traced.
    """
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if bool(command) == (options.pid is not None):
        problem = "-p PID and a command: one of them can be recorded" if command else "no command"
        raise usage_error(problem, "datacrumbs_record CMD ARG..., or datacrumbs_record -p PID")
    if options.sample and options.mode == Mode.PROFILE:
        raise usage_error("--sample: a profile counts every call", "leave out one of --sample and --mode profile")
    gc.disable()  # what is made on the way to the command stays
    mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)}
    signals = SignalWait(SIGNALS)
    try:
        status = _session(options, command, mask, signals).run()
    finally:
        signals.close()
    return end_as(status)


def _session(options: argparse.Namespace, command: list[str], mask: set[int], signals: SignalWait) -> Session:
    if options.pid is None:
        return Session(options, command, mask, signals)
    from datacrumbs.commands._record_process import ProcessSession

    return ProcessSession(options, mask, signals)
