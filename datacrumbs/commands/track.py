"""`datacrumbs_track`: make an executable mark its processes for tracing."""

from __future__ import annotations

import sys

from datacrumbs.client.tracking import track
from datacrumbs.commands._run import run_command
from datacrumbs.commands._tracking import run_tracking


def main() -> None:
    """Run the command and exit."""
    sys.exit(run_command(_command))


def _command() -> None:
    run_tracking(
        "datacrumbs_track",
        "Add the client library to an executable, so that a running `datacrumbs` daemon traces each of its processes. "
        "The file is replaced in one step; its mode, owner and attributes are kept.",
        track,
        ("tracked", "already tracked"),
    )
