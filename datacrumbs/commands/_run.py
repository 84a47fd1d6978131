"""What every command shares: the error boundary and the common options."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError, ExitCode, refusal
from datacrumbs.installed import user_packages
from datacrumbs.output import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COMMANDS = re.compile(
    r"(?<!systemctl start )(?<!journalctl -u )\bdatacrumbs_(?:setup|trust|doctor|sign_probes|probe_configurator)\b"
    r"(?! --prefix|\.)"
)
"""Commands in advice that may be given for another installation than that of the host."""


def run_command(command: Callable[[], int | None]) -> int:
    """Run a command's body and turn its failure into a message and an exit code.

    Returns:
        The exit status; the console script passes it to ``sys.exit``.
    """
    try:
        if os.geteuid() == 0:
            _refuse_user_packages()
        return int(command() or ExitCode.DONE)
    except DatacrumbsError as error:
        tell(error.message)
        if error.hint:
            print(f"  hint: {for_prefix(error.hint, _prefix(sys.argv[1:]))}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # What no caller foresaw: a file that cannot be reached, a full disk. Still words, not a traceback.
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        tell(f"{where}{error.strerror or error}")
        return int(ExitCode.FAILED)


# What is in it was run already as far as Python runs it by itself; nothing more of it shall be.
def _refuse_user_packages() -> None:
    place = user_packages()
    if place is not None:
        raise refusal(
            f"{place}: Python takes packages from there, and others than root can change it",
            "sudo -H, or set PYTHONNOUSERSITE=1, or use an environment made without --system-site-packages",
        )


def tell(message: str) -> None:
    """A message on standard error, after the command's name."""
    print(f"{_program()}: {message}", file=sys.stderr)


def for_prefix(advice: str, prefix: str) -> str:
    """Advice whose commands are to be given for the installation below a prefix."""
    if Path(prefix).absolute() == Path("/"):
        return advice
    return _COMMANDS.sub(lambda found: f"{found[0]} --prefix {shlex.quote(prefix)}", advice)


# The prefix of the command that runs, wherever it stands among its arguments.
def _prefix(arguments: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--prefix", default="/")
    with suppress(argparse.ArgumentError):
        return str(parser.parse_known_args(arguments)[0].prefix)
    return "/"


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
