"""Where the console scripts begin: what holds before a command's own modules are there, and after its end.

Importing them takes a good part of a second. A user who presses Ctrl-C then gets no traceback, here or at the end. So
the first thing here is that the signal does what it does to other programs: it ends this one.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # of `signal` what is there without a look at the disk

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # it is not to be ignored
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import gc
import signal
import sys
from functools import partial

from datacrumbs.commands._registry import COMMANDS, command_named
from datacrumbs.errors import ExitCode
from datacrumbs.output import prepare_streams


def start(name: str) -> int:
    """Run a command of `_registry.COMMANDS` on the process's own command line.

    Args:
        name: The command; ``daemon`` also for the one that the first word names.

    Returns:
        The exit status; the console script passes it to ``sys.exit``.
    """
    interrupts = _Interrupts()
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupts.handle)
    prepare_streams()
    try:
        if name == "daemon":
            from datacrumbs.commands._verbs import run

            return run(sys.argv[1:], interrupts.all_is_imported)
        from datacrumbs.commands._main import main

        return main(command_named(name), sys.argv[1:], interrupts.all_is_imported)
    except KeyboardInterrupt:  # between two things that `main` guards
        return int(ExitCode.INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


# One handler for the whole time: polars keeps the one that it finds when it is imported, and goes round it while it
# computes.
class _Interrupts:
    importing = True

    def all_is_imported(self) -> None:
        self.importing = False
        gc.freeze()  # and is never looked through again

    def handle(self, number: int, _frame: object) -> None:
        if not self.importing:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def __getattr__(name: str) -> partial[int]:
    """The start of each command, by its name; ``list_`` since that word is taken, and ``datacrumbs`` for the daemon."""
    command = "daemon" if name == "datacrumbs" else name.rstrip("_")
    if command not in COMMANDS:
        raise AttributeError(name)
    return partial(start, command)
