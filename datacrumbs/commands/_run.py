"""What every command shares: the error boundary and the common options."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError, ExitCode

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
        print(f"{_program()}: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)
    except OSError as error:
        # What no caller foresaw: a file that cannot be reached, a full disk. Still words, not a traceback.
        where = f"{error.filename}: " if error.filename else ""
        print(f"{_program()}: {where}{error.strerror or error}", file=sys.stderr)
        return int(ExitCode.FAILED)


def command_parser(program: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with ``--help`` that shows an example, and ``--version``."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    return parser


def _program() -> str:
    return Path(sys.argv[0]).name or "datacrumbs"
