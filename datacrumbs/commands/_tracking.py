"""What `datacrumbs_track` and `datacrumbs_untrack` share: their command line and their messages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.client.tracking import become_owner
from datacrumbs.commands._run import command_parser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.client.tracking import Tracking


def run_tracking(
    name: str,
    description: str,
    change: Callable[[Path, Path | None], Tracking],
    outcome: tuple[str, str],
    arguments: Sequence[str] | None = None,
) -> None:
    """Parse the command line, change the executable and say what came of it, on stderr.

    Args:
        name: The command's.
        description: For ``--help``.
        change: `track` or `untrack`.
        outcome: What the file is now: after a change, and when there was nothing to change.
        arguments: The command line; the process's own when None.
    """
    parser = command_parser(name, description, f"{name} --executable ./myapp")
    parser.add_argument("--executable", required=True, type=Path, metavar="FILE", help="a dynamic executable")
    parser.add_argument(
        "output", nargs="?", type=Path, metavar="OUTPUT", help="output file (default: modify FILE in place)"
    )
    options = parser.parse_args(arguments)
    tracking = change(*become_owner(options.executable, options.output))
    print(f"{name}: {tracking.path}: {outcome[0] if tracking.changed else outcome[1]}", file=sys.stderr)
