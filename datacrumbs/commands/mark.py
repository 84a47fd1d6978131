"""``datacrumbs_mark``: have a running process traced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, whole_number

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    parser.add_argument("process", type=whole_number, metavar="PID", help="a running process of yours")
    parser.add_argument(
        "--run-id",
        metavar="ID",
        help="the run that is to trace it (default: DATACRUMBS_RUN_ID, else the scheduler's job, else every run of "
        "yours that accepts marks without a name)",
    )


COMMAND = Command(
    name="mark",
    summary="Have one of your runs trace a running process of yours: its threads, and its children from now on.",
    description=(
        "Needs no root, but a run that is going on. A process that you may not debug (ptrace(2)) is refused. Exit "
        "status 0: the process is traced from then on."
    ),
    examples=("datacrumbs_mark --run-id myrun 4711",),
    arguments=arguments,
    work="_launcher:mark_process",
)
