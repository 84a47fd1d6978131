"""Where the console scripts begin: what holds before a command's own modules are there, and after its end.

Importing them takes a good part of a second. A user who presses Ctrl-C then gets no traceback, here or at the end.
"""

from __future__ import annotations

import gc
import signal
import sys
from functools import partial

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
        from datacrumbs.commands._registry import command_named

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


datacrumbs = partial(start, "daemon")
cluster_setup = partial(start, "cluster_setup")
completion = partial(start, "completion")
doctor = partial(start, "doctor")
epilog = partial(start, "epilog")
probe_configurator = partial(start, "probe_configurator")
prolog = partial(start, "prolog")
record = partial(start, "record")
list_ = partial(start, "list")
mark = partial(start, "mark")
report = partial(start, "report")
run = partial(start, "run")
runs = partial(start, "runs")
salloc = partial(start, "salloc")
sbatch = partial(start, "sbatch")
service_wrapper = partial(start, "service_wrapper")
setup = partial(start, "setup")
sign_probes = partial(start, "sign_probes")
srun = partial(start, "srun")
stop = partial(start, "stop")
top = partial(start, "top")
track = partial(start, "track")
trust = partial(start, "trust")
untrack = partial(start, "untrack")
