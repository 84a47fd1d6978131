"""``datacrumbs_cluster_setup``: set up compute nodes, and link what their schedulers call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_dry_run, add_json, add_prefix, add_timeout
from datacrumbs.commands._node_options import add_node_options
from datacrumbs.install import CLUSTER_STAGES

if TYPE_CHECKING:
    import argparse

_SECONDS = 180.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add_node_options(parser, required=False)
    add = parser.add_argument
    add(
        "--stage",
        choices=CLUSTER_STAGES,
        required=True,
        help="services: datacrumbs_setup --stage compute, and systemd reads the units; scheduler-hooks: links in the "
        "directories of prologs and epilogs; flux-plugin: one in that of Flux's commands; all: these three",
    )
    add(
        "--trust-key", type=Path, metavar="PEM", help="trust this public key of a signing host there; -: standard input"
    )
    add("--unsetup", action="store_true", help="undo what the stage made; traces and changed files stay")
    add_timeout(parser, "for each node", _SECONDS)
    add_dry_run(parser)
    add_prefix(parser)
    add_json(parser)


COMMAND = Command(
    name="cluster_setup",
    summary="Set up compute nodes over ssh, and link what their schedulers call when jobs begin and end.",
    description=(
        "Needs root on the nodes: --login root, or --sudo. Without --node-list, it sets up this host. The package must "
        "be installed there already. A scheduler's own configuration is never changed; the output says what is missing "
        "from it. Prints a line for each node; with --dry-run or -v also what is made. Exit status 1: it failed on at "
        "least one node."
    ),
    examples=(
        'datacrumbs_cluster_setup --node-list "node[1-4]" --stage all --trust-key KEYID.pem --login root',
        'datacrumbs_cluster_setup --node-list "node[1-4]" --stage all --unsetup --dry-run --login root',
    ),
    arguments=arguments,
    work="_cluster_stages:set_up",
    section=8,
)
