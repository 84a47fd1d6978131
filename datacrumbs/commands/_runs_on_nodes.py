"""What ``datacrumbs_run`` does, and ``datacrumbs_stop`` on many nodes: a line for each node, and one exit status."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._node_options import access_of, print_lines
from datacrumbs.daemon.identity import run_id
from datacrumbs.errors import ExitCode
from datacrumbs.jobs.metadata import probe_file_of
from datacrumbs.jobs.metadata_section import ENABLE, PROBE_FILE
from datacrumbs.nodes.fan_out import node_names
from datacrumbs.nodes.node_runs import NONE_HERE, RunOrder, start_on_nodes, stop_on_nodes
from datacrumbs.output import inform, warn
from datacrumbs.session.invoker import invoker

if TYPE_CHECKING:
    import argparse

    from datacrumbs.nodes.node_runs import NodeStates


def start(options: argparse.Namespace) -> int:
    """Start a run on nodes."""
    order = RunOrder(
        run_id(options.run_id, os.environ, time.time()),
        options.user or invoker(os.environ).name,
        probe_file_of({ENABLE: "yes", PROBE_FILE: str(Path(options.probe_file).absolute())}),
        str(options.prefix),
        options.timeout,
        options.keep_going,
    )
    nodes = node_names(options.node_list)
    inform(f"run {order.run} on {_counted(len(nodes))}")
    result = start_on_nodes(order, nodes, access_of(options))
    _print(result, as_json=options.json)
    if result.interrupted:
        return int(ExitCode.INTERRUPTED)
    if result.are_all("ready"):
        return int(ExitCode.DONE)
    ready = sum(each.state == "ready" for each in result.states)
    warn(
        f"run {order.run} is ready on {ready} of {_counted(len(nodes))}; end it with datacrumbs_stop"
        if ready
        else f"run {order.run} {_nowhere(result)}"
    )
    return int(ExitCode.FAILED)


def _nowhere(result: NodeStates) -> str:
    was_ended = any(each.state == "ended" for each in result.states)
    words = "did not begin on all nodes, and was ended on the others" if was_ended else "did not begin on any node"
    if not result.is_settled:
        words += "; where a node has not said that it ended, it may go on or begin yet: datacrumbs_stop ends it"
    return f"{words}\nhint: --keep-going leaves it there" if was_ended else words


def stop(options: argparse.Namespace, run: str) -> int:
    """End a run on nodes."""
    run = run_id(run, {}, 0)
    result = stop_on_nodes(run, str(options.prefix), node_names(options.node_list), access_of(options), options.timeout)
    _print(result, as_json=options.json)
    if result.interrupted:
        return int(ExitCode.INTERRUPTED)
    if result.are_all(NONE_HERE):
        warn(f"no run {run} goes on there that datacrumbs_run started")
        return int(ExitCode.FAILED)
    return int(ExitCode.DONE if result.are_all("complete", NONE_HERE) else ExitCode.FAILED)


def _counted(nodes: int) -> str:
    return f"{nodes} node{'s' if nodes > 1 else ''}"


def _print(result: NodeStates, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(each) for each in result.states], indent=2))
    else:
        print_lines([(each.node, each.state, each.words) for each in result.states])
