"""``datacrumbs_cluster_setup`` on many nodes: it calls itself there, and shows what each says."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from datacrumbs.commands._node_options import access_of, print_lines
from datacrumbs.errors import ExitCode
from datacrumbs.install.step import Step
from datacrumbs.nodes.fan_out import NodeOutcome, ask, folded, node_names
from datacrumbs.output import Verbosity, printable, verbosity
from datacrumbs.probefile.keys import public_key_pem

if TYPE_CHECKING:
    import argparse

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from datacrumbs.nodes.fan_out import Answer

_SAID = {"missing", "reloaded"}
"""States of steps that are shown one by one in a node's line."""


def set_up_nodes(options: argparse.Namespace, key: Ed25519PublicKey | None) -> int:
    """Set up nodes, or take that back; gives the exit status.

    Args:
        options: Of the command line.
        key: A signing host's, to be trusted there.
    """
    switches = {"--unsetup": options.unsetup, "--dry-run": options.dry_run, "--trust-key=-": key is not None}
    words = ["--json", "--prefix", str(options.prefix), "--stage", options.stage]
    access = access_of(options)
    line = access.command_line(
        "datacrumbs_cluster_setup", [*words, *(name for name, given in switches.items() if given)]
    )
    nodes = node_names(options.node_list)
    found = ask(nodes, line, access, options.timeout, public_key_pem(key) if key else b"")
    steps = {each.node: _steps(each) for each in found.answers}
    if options.json:
        print(json.dumps([_row(each, steps[each.node]) for each in found.answers], indent=2))
    else:
        print_lines([(each.node, str(each.outcome), _words(each, steps[each.node])) for each in found.answers])
        if options.dry_run or verbosity() == Verbosity.VERBOSE:
            _print_steps(steps)
    if found.interrupted:
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.DONE if all(each.outcome is NodeOutcome.DONE for each in found.answers) else ExitCode.FAILED)


def _row(answer: Answer, steps: tuple[Step, ...]) -> dict[str, object]:
    shown = [{"state": step.state, "what": step.what, "note": step.note} for step in steps]
    return {"node": answer.node, "state": answer.outcome, "words": answer.last_message, "steps": shown}


# What a node prints is not relied on to be what ours prints.
def _steps(answer: Answer) -> tuple[Step, ...]:
    try:
        rows = json.loads("\n".join(answer.output) or "[]")
        return tuple(Step(str(row["state"]), str(row["what"]), str(row["note"])) for row in rows)
    except (ValueError, TypeError, KeyError, RecursionError):
        return ()


def _words(answer: Answer, steps: tuple[Step, ...]) -> str:
    counted = [f"{number} {state}" for state, number in sorted(Counter(step.state for step in steps).items())]
    said = [f"{step.what} {step.note or step.state}" for step in steps if step.state in _SAID]
    return "; ".join(filter(None, (answer.last_message, ", ".join(counted), *said)))


# Nodes to which the same happened are shown together.
def _print_steps(steps: dict[str, tuple[Step, ...]]) -> None:
    for each in dict.fromkeys(steps.values()):
        if each:
            print(f"{folded([node for node, those in steps.items() if those == each])}:")
        for step in each:
            print(printable(f"  {step.state:<8} {step.what}{f'  ({step.note})' if step.note else ''}"))
