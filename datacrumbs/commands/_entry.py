"""Where the console scripts begin: what holds before a command's own modules are there, and after its end.

Importing them takes a good part of a second. A user who presses Ctrl-C then gets no traceback, here or at the end.
"""

from __future__ import annotations

import importlib
import signal
import sys

from datacrumbs.output import prepare_streams

INTERRUPTED = 128 + signal.SIGINT


def datacrumbs() -> None:
    _start("daemon")


def doctor() -> None:
    _start("doctor")


def probe_configurator() -> None:
    _start("probe_configurator")


def report() -> None:
    _start("report")


def setup() -> None:
    _start("setup")


def sign_probes() -> None:
    _start("sign_probes")


def track() -> None:
    _start("track")


def trust() -> None:
    _start("trust")


def untrack() -> None:
    _start("untrack")


def _start(name: str) -> None:
    interrupts = _Interrupts()
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupts.handle)
    prepare_streams()
    main = importlib.import_module(f"datacrumbs.commands.{name}").main
    interrupts.importing = False
    try:
        main()
    except KeyboardInterrupt:  # outside of what `run_command` sees
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        _finish(end)
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


# One handler for the whole time: polars keeps the one that it finds when it is imported, and goes round it while it
# computes.
class _Interrupts:
    importing = True

    def handle(self, number: int, _frame: object) -> None:
        if not self.importing:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


# What is printed may fail to arrive only now, for want of room, or since the descriptor was closed from the start.
def _finish(end: SystemExit) -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = None  # else the interpreter tries again, and complains
        print(f"{sys.argv[0].rpartition('/')[2]}: standard output: {error.strerror}", file=sys.stderr)
        end.code = end.code or 1
