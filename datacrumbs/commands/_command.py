"""The one shape of a command, and the options that commands share."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from datacrumbs import __version__
from datacrumbs.output import Verbosity, printable, terminal
from datacrumbs.quantities import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Run = Callable[[argparse.Namespace], int | None]

PREFIX_VARIABLE = "DATACRUMBS_PREFIX"
DAEMON = "daemon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command: what it is called, what it takes and what it does.

    The module that declares one imports only what its command line needs, so that ``--help`` is quick.

    Args:
        name: One word or several joined by ``_``; also the name of the module and of the console script after
            ``datacrumbs_``. The daemon's script is ``datacrumbs`` itself.
        summary: One sentence: the first line of ``--help`` and the title in the list of commands.
        description: More sentences for ``--help``.
        examples: Command lines that work.
        arguments: Adds the command's own options and arguments to its parser.
        work: What does the work, ``MODULE:FUNCTION`` of this package: a function of the parsed command line, which
            returns the exit status (None for 0) and raises `DatacrumbsError` for a failure.
        section: Of the manual: 1 for users' commands, 8 for an administrator's.
        reordered: Gives the words of the command line in the order in which its parser takes them.
        has_shared: Whether it has the options of every command; not where ``-q`` and ``-v`` are another program's.
    """

    name: str
    summary: str
    description: str = ""
    examples: tuple[str, ...]
    arguments: Callable[[argparse.ArgumentParser], None]
    work: str
    section: int = 1
    reordered: Callable[[Sequence[str]], Sequence[str]] = tuple
    has_shared: bool = True

    @property
    def program(self) -> str:
        """Name of the console script, which begins its messages."""
        return "datacrumbs" if self.name == DAEMON else f"datacrumbs_{self.name}"

    def parser(self, called: str = "") -> argparse.ArgumentParser:
        """The parser of its command line.

        Args:
            called: By which other name it was called, for ``--help``.
        """
        examples = [each.replace(self.program, called or self.program) for each in self.examples]
        parser = _Parser(
            prog=called or self.program,
            description="\n".join(filter(None, (self.summary, self.description))),
            epilog="\n  ".join(("example:" if len(examples) == 1 else "examples:", *examples)),
            formatter_class=_Formatter,
        )
        parser.add_argument("-V", "--version", action="version", version=f"{self.program} {__version__}")
        self.arguments(parser)
        if self.has_shared:
            add_shared(parser)
        else:
            parser.set_defaults(verbosity=Verbosity.NORMAL)
        return parser

    def parse(self, words: Sequence[str], called: str = "") -> argparse.Namespace:
        """Parse a command line; ``called`` is another name of the command.

        Raises:
            SystemExit: After ``--help``, ``--version`` or a message about what is wrong.
        """
        return self.parser(called).parse_args(self.reordered(words))

    def load(self) -> Run:
        """Import what does the work."""
        module, _, function = self.work.partition(":")
        work: Run = getattr(importlib.import_module(f"datacrumbs.commands.{module}"), function)
        return work

    def run(self, words: Sequence[str]) -> int:
        """Parse a command line and do the work, without the boundary that `main` puts around it."""
        arguments = self.parse(words)
        return int(self.load()(arguments) or 0)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    # What takes the rest of the line is "..." otherwise, whatever it is called.
    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.nargs == argparse.REMAINDER:
            return str(action.metavar)
        return super()._format_args(action, default_metavar)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    # Its lines are aligned already, and it has no words of strangers.
    def print_usage(self, file: Any = None) -> None:
        terminal(file or sys.stdout).write(self.format_usage())


# Sub-commands take what is shared too: there it is set only when it is given, after what precedes them.
def _default(value: object, *, again: bool) -> Any:
    return argparse.SUPPRESS if again else value


def add_shared(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add what each command has; for a sub-command ``again``."""
    amount = parser.add_mutually_exclusive_group()
    default = _default(Verbosity.NORMAL, again=again)
    amount.add_argument(
        "-q", "--quiet", dest="verbosity", action="store_const", const=Verbosity.QUIET, default=default,
        help="print only results, warnings and errors",
    )  # fmt: skip
    amount.add_argument(
        "-v", "--verbose", dest="verbosity", action="store_const", const=Verbosity.VERBOSE, default=default,
        help="print details, and where in the code an error was raised",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add ``--json``, for commands that print data."""
    parser.add_argument("--json", action="store_true", default=_default(value=False, again=again), help="print JSON")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add ``--dry-run``, for commands that change what others use."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="print what would be done; change nothing")


def filled(text: str) -> str:
    """The type of an option or argument that must not be empty, as one from a variable that is not set would be."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name")
    return text


def whole_number(text: str) -> int:
    """The type of an option that counts something."""
    if not (text.isdecimal() and text.isascii() and len(text) <= 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def quantity(parse: Callable[[str], float]) -> Callable[[str], float]:
    """The type of an option whose value has a unit: the words of the parser's message are those of the quantity."""

    def value(text: str) -> float:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def add_timeout(parser: argparse.ArgumentParser, awaited: str, default: float) -> None:
    """Add ``--timeout``, for commands that wait for something."""
    parser.add_argument(
        "--timeout",
        type=quantity(seconds),
        metavar="TIME",
        default=default,
        help=f"wait at most TIME {awaited}, such as 90s or 5m (seconds if it has no unit; default: {default:g})",
    )


def add_repeated(
    parser: argparse.ArgumentParser, option: str, metavar: str, text: str, kind: Callable[[str], object] = filled
) -> None:
    """Add an option that can be given several times; ``text`` is its help."""
    parser.add_argument(option, action="append", default=[], type=kind, metavar=metavar, help=text)


def add_json_and_prefix(parser: argparse.ArgumentParser) -> None:
    """Add all that a command takes which prints data of an installation."""
    add_json(parser)
    add_prefix(parser)


def usual_prefix() -> Path:
    """The prefix of a command that is given none."""
    return Path(os.environ.get(PREFIX_VARIABLE) or "/")


def add_prefix(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add ``--prefix``, for commands that read or change an installation."""
    parser.add_argument(
        "--prefix",
        type=Path,
        metavar="DIR",
        default=_default(usual_prefix(), again=again),
        help=f"use the installation below DIR (default: ${PREFIX_VARIABLE}, else /)",
    )
