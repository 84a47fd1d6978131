"""``datacrumbs_run``: start a run on many nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_json, add_prefix, add_timeout
from datacrumbs.commands._node_options import NODE_LIST, add_node_options
from datacrumbs.commands.service_wrapper import START_SECONDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add_node_options(parser, required=True)
    add = parser.add_argument
    add("--probe-file", required=True, metavar="FILE", help="signed probe file, where each node has it")
    add("--run-id", metavar="ID", help="default: the scheduler's job id, else a timestamp")
    add("--user", metavar="USER", help="trace USER's programs; the probe file must be granted to USER (default: you)")
    add(
        "--keep-going",
        action="store_true",
        help="keep the run on the nodes where it started, even if it failed on others",
    )
    add_timeout(parser, "until programs are traced on a node", START_SECONDS)
    add_prefix(parser)
    add_json(parser)


# Of this command, and of the launcher.
_WITH_VALUES = frozenset(
    f"--{name}" for name in ("login", "fan-out", "programs", "probe-file", "run-id", "user", "timeout", "prefix", "pid")
)


def is_for_nodes(words: Sequence[str]) -> bool:
    """Whether the words behind ``datacrumbs run`` are this command's, and not a command line to be marked.

    The options before a command decide: further on, the option may be that of the command to be marked.
    """
    following = iter(words)
    for word in following:
        if word.split("=")[0] == NODE_LIST:
            return True
        if word == "--" or not word.startswith("-"):
            return False
        if word in _WITH_VALUES:
            next(following, None)
    return False


COMMAND = Command(
    name="run",
    summary="Start a run on many nodes over ssh: on all of them, or on none.",
    description=(
        "Needs root on the nodes: --login root, or --sudo. Programs that datacrumbs_wrap marks there are traced from "
        "then on, until datacrumbs_stop. Prints a line for each node. Exit status 0: the run is on all of them; 1: it "
        "failed on some, and was ended where it had started, unless --keep-going. To mark a command on this host, use "
        "datacrumbs_wrap, or datacrumbs run CMD; datacrumbs run --node-list ... is this command."
    ),
    examples=('datacrumbs_run --node-list "node[1-4]" --probe-file /home/me/probes.json.gz --run-id myrun --sudo',),
    arguments=arguments,
    work="_runs_on_nodes:start",
    section=8,
)
