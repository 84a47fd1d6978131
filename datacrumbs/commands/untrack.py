"""`datacrumbs_untrack`: undo `datacrumbs_track`."""

from __future__ import annotations

import sys

from datacrumbs.client.tracking import untrack
from datacrumbs.commands._run import run_command
from datacrumbs.commands._tracking import run_tracking


def main() -> None:
    """Run the command and exit."""
    sys.exit(run_command(_command))


def _command() -> None:
    run_tracking(
        "datacrumbs_untrack",
        "Take the client library out of an executable again. "
        "The file is replaced in one step; its mode, owner and attributes are kept.",
        untrack,
        ("no longer tracked", "not tracked"),
    )
