"""The command line that ``datacrumbs_track`` and ``datacrumbs_untrack`` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import add_dry_run

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of both."""
    parser.add_argument("--executable", required=True, type=Path, metavar="FILE", help="a dynamic executable")
    parser.add_argument(
        "output", nargs="?", type=Path, metavar="OUTPUT", help="output file (default: modify FILE in place)"
    )
    add_dry_run(parser)
