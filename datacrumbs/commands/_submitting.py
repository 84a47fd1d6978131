"""What ``datacrumbs_sbatch``, ``datacrumbs_salloc`` and ``datacrumbs_srun`` share: all but their names."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from datacrumbs.commands._command import Command
from datacrumbs.errors import DatacrumbsError, ExitCode, usage_error
from datacrumbs.jobs.slurm_options import COMMANDS, ENABLE, PROBE_FILE, components, without_own

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


PROBE_FILE_VARIABLE = "DATACRUMBS_PROBE_FILE"
_OURS = ({"-h", "--help"}, {"-V", "--version"})


def submitting(name: str, summary: str, example: str) -> Command:
    """The command for one of Slurm's."""
    return Command(
        name=name,
        summary=summary,
        description=(
            f"All other options and words are {name}'s own and pass unchanged, as does its exit status. Your "
            "own --comment is kept."
        ),
        examples=(example,),
        arguments=partial(_arguments, name),
        work="_submitting:submit",
        reordered=partial(_reordered, name),
        has_shared=False,
    )


def _arguments(name: str, parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(submitter=name)
    parser.add_argument(
        PROBE_FILE, metavar="FILE", default=os.environ.get(PROBE_FILE_VARIABLE) or "",
        help=f"trace the job with this signed probe file (default: ${PROBE_FILE_VARIABLE})",
    )  # fmt: skip
    parser.add_argument(
        ENABLE, nargs="?", choices=("yes", "no"), const="yes", default="yes", help="no: leave the job untraced"
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help=f"options of {name}, the script or program, and its arguments"
    )


# Ours first, whatever is between them; what is not ours is no option to our parser.
def _reordered(name: str, words: Sequence[str]) -> Sequence[str]:
    for component in components(COMMANDS[name], words):
        for option in component.options:
            given = words[option.begin]
            if any(given in spellings for spellings in _OURS):
                return [given]
    own, rest = without_own(COMMANDS[name], words)
    if ENABLE in own:  # the value may be a word of its own
        place = words.index(ENABLE)
        value = next(iter(words[place + 1 : place + 2]), "")
        if value in {"yes", "no"}:
            joined = [*words[:place], f"{ENABLE}={value}", *words[place + 2 :]]
            own, rest = without_own(COMMANDS[name], joined)
    own = [f"{word}=yes" if word == ENABLE else word for word in own]
    return [*own, "--", *rest]


# The scheduler's command has this process, so that its exit status, signals and terminal are the command's own.
def _become(name: str, words: Sequence[str]) -> NoReturn:
    own = Path(sys.argv[0]).resolve()
    for directory in os.get_exec_path():
        found = shutil.which(name, path=directory or ".")
        if found and Path(found).resolve() != own:
            break
    else:
        raise DatacrumbsError(f"{name}: no such command here", hint="run it where SLURM's commands are")
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(found, [name, *words])  # noqa: S606 - no shell is meant
    except OSError as error:
        raise DatacrumbsError(f"{found}: cannot be run: {error.strerror}", exit_code=ExitCode.FAILED) from None


def submit(options: argparse.Namespace) -> None:
    """Become the scheduler's command, with the job's metadata in its words."""
    from datacrumbs.jobs.submission import check_probe_file, is_step, traced

    command, words = COMMANDS[options.submitter], options.words
    if options.datacrumbs_enable == "yes" and not is_step(command, words, os.environ):
        if not options.datacrumbs_probe_file:
            raise usage_error(f"no probe file: give {PROBE_FILE} FILE", f"or set {PROBE_FILE_VARIABLE}")
        probe_file = Path(options.datacrumbs_probe_file).absolute()
        check_probe_file(probe_file)
        words = traced(command, words, probe_file)
    _become(command.name, words)
