"""The options of commands that do something on many nodes over ssh."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import whole_number
from datacrumbs.errors import usage_error
from datacrumbs.nodes.fan_out import FAN_OUT, Access
from datacrumbs.output import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

NODE_LIST = "--node-list"
_PROGRAMS = Path(sysconfig.get_path("scripts"))


def add_node_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add ``--node-list`` and how the nodes are reached."""
    parser.add_argument(
        NODE_LIST,
        required=required,
        metavar="NODES",
        help="on these nodes, over ssh: node[1-4,7],login1, or @GROUP, as ClusterShell takes them",
    )
    group = parser.add_argument_group("how to reach the nodes")
    group.add_argument("--login", metavar="USER", default="", help="log in there as USER, such as root")
    group.add_argument("--sudo", action="store_true", help="become root there by sudo, without a password")
    group.add_argument(
        "--fan-out",
        type=whole_number,
        metavar="N",
        default=FAN_OUT,
        help=f"nodes contacted at a time (default: {FAN_OUT})",
    )
    group.add_argument(
        "--programs",
        type=Path,
        metavar="DIR",
        default=_PROGRAMS,
        help="directory of the commands on the nodes (default: the same as here)",
    )


def is_for_nodes(options: argparse.Namespace) -> bool:
    """Whether the command is for nodes and not for this host.

    Raises:
        DatacrumbsError: (exit 2) when it is said how to reach the nodes, but not which: they may have been forgotten.
    """
    if options.node_list is not None:
        return True
    given = {
        "--login": options.login,
        "--sudo": options.sudo,
        "--fan-out": options.fan_out != FAN_OUT,
        "--programs": options.programs != _PROGRAMS,
    }
    for name in filter(given.get, given):
        raise usage_error(f"{name} needs {NODE_LIST}", "name the nodes, or leave it out for this host")
    return False


def access_of(options: argparse.Namespace) -> Access:
    """How a command line wants nodes to be reached."""
    return Access(options.programs, options.login, options.sudo, options.fan_out)


def print_lines(rows: Sequence[tuple[str, str, str]]) -> None:
    """Print a line for each node: its name, its state and more about it."""
    names, states = (max(len(row[place]) for row in rows) for place in (0, 1))
    for node, state, words in rows:
        print(printable(f"{node:{names}}  {state:{states}}  {words}".rstrip()))
