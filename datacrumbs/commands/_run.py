"""What every command shares: the error boundary and the common options."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.output import printable

if TYPE_CHECKING:
    from collections.abc import Callable


def run_command(command: Callable[[], int | None]) -> int:
    """Run a command's body and turn its failure into a message and an exit code.

    Returns:
        The exit status; the console script passes it to ``sys.exit``.
    """
    try:
        return int(command() or ExitCode.DONE)
    except DatacrumbsError as error:
        tell(error.message)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # What no caller foresaw: a file that cannot be reached, a full disk. Still words, not a traceback.
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        tell(f"{where}{error.strerror or error}")
        return int(ExitCode.FAILED)


def tell(message: str) -> None:
    """A message on standard error, after the command's name."""
    print(f"{_program()}: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def command_parser(program: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with ``--help`` that shows an example, and ``--version``."""
    parser = _Parser(
        prog=program,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    return parser


def _program() -> str:
    return Path(sys.argv[0]).name or "datacrumbs"
