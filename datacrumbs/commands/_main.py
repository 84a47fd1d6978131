"""Running a command: its command line, the one place where its errors are caught, its exit status."""

from __future__ import annotations

import gc
import os
import re
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, ExitCode, refusal, unforeseen
from datacrumbs.installed import user_packages
from datacrumbs.output import begin_messages, detail, warn
from datacrumbs.secure.places_of_users import TEMPORARY, leave_out_places_of_users

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.commands._command import Command

ROOT = Path("/")
_COMMANDS = re.compile(
    r"(?<!systemctl start )(?<!journalctl -u )\bdatacrumbs_(?:setup|trust|doctor|sign_probes|probe_configurator)\b"
    r"(?! --prefix|\.)"
)
"""Commands in advice that may be given for another installation than that of the host."""


def main(command: Command, words: Sequence[str], begun: Callable[[], None] = lambda: None, called: str = "") -> int:
    """Run a command.

    Args:
        command: What to run.
        words: Its command line, without the program's name.
        begun: Called when all is imported and the work begins.
        called: By which other name the command was called.

    Returns:
        The exit status, of `ExitCode`.
    """
    begin_messages(command.program)
    try:
        arguments = command.parse(words, called)
    except SystemExit as end:  # after --help, --version or a message about the command line
        return int(end.code or ExitCode.DONE) or guarded(sys.stdout.flush)
    begin_messages(command.program, arguments.verbosity)

    def work() -> int | None:
        if os.geteuid() == 0:
            _refuse_user_packages()
            leave_out_places_of_users(TEMPORARY, "what is kept for a moment")
        gc.disable()  # what is imported stays; to look through it again and again takes a fifth of the time
        try:
            run = command.load()
            begun()
        finally:
            gc.enable()
        return run(arguments)

    status = guarded(work, getattr(arguments, "prefix", ROOT))
    # What was printed may fail to arrive only now: the disk is full, or the descriptor was closed from the start.
    return guarded(sys.stdout.flush) or status


def guarded(work: Callable[[], int | None], prefix: Path = ROOT) -> int:
    """Do something and turn its failure into a message and an exit status.

    Args:
        work: Returns an exit status; None for 0.
        prefix: The installation that advice is for.
    """
    try:
        return int(work() or ExitCode.DONE)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except (DatacrumbsError, OSError) as error:
        # What no caller foresaw: a file that cannot be reached, a full disk. Still words, not a traceback.
        told = error if isinstance(error, DatacrumbsError) else unforeseen(error)
        advice = f"\nhint: {for_prefix(told.hint, prefix)}" if told.hint else ""
        warn(told.message + advice)
        detail(traceback.format_exc())
        return int(told.exit_code)


# What is in it was run already as far as Python runs it by itself; nothing more of it shall be.
def _refuse_user_packages() -> None:
    place = user_packages()
    if place is not None:
        raise refusal(
            f"{place}: Python takes packages from there, and users other than root can change it",
            "sudo -H, or set PYTHONNOUSERSITE=1, or use an environment made without --system-site-packages",
        )


def for_prefix(advice: str, prefix: Path) -> str:
    """Advice whose commands are to be given for the installation below a prefix."""
    if prefix.absolute() == ROOT:
        return advice
    return _COMMANDS.sub(lambda found: f"{found[0]} --prefix {shlex.quote(str(prefix))}", advice)
