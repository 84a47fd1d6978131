"""``datacrumbs_stop``: end a run, here or on many nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_json, add_prefix, add_timeout
from datacrumbs.commands._node_options import add_node_options

if TYPE_CHECKING:
    import argparse

_SECONDS = 180.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    parser.add_argument("run", metavar="RUN", nargs="?", help="the run, as datacrumbs_list shows it")
    parser.add_argument("--run-id", metavar="ID", help="the same as RUN")
    parser.add_argument(
        "--probe-file", metavar="FILE", help="ignored; accepted so that the options of datacrumbs_run can be used again"
    )
    add_timeout(parser, "until the trace is complete", _SECONDS)
    add_prefix(parser)
    add_json(parser)
    add_node_options(parser, required=False)


COMMAND = Command(
    name="stop",
    summary="End a run of yours, and wait until its trace is complete.",
    description=(
        "The programs that it traces go on. Root can end everyone's runs. With --node-list: a run that datacrumbs_run "
        "started, with a line for each node; exit status 1 if it did not end on some node, or was on none."
    ),
    examples=(
        "datacrumbs_stop run-20261128T214804-3cc8db996e0d3ef3",
        'datacrumbs_stop --node-list "node[1-4]" --run-id myrun --sudo',
    ),
    arguments=arguments,
    work="_runs:end_run",
)
