"""A comparison for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.output import counted, printable
from datacrumbs.report.comparing import SAME
from datacrumbs.report.human_readable import duration
from datacrumbs.report.layout import Column, lay_out
from datacrumbs.report.tables import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from datacrumbs.report.comparing import Change, Side

ROWS = 30
"""Functions shown, unless ``--limit`` says otherwise."""


def print_comparison(console: Console, changes: Sequence[Change], width: int | None, limit: int | None) -> None:
    """The functions whose time changed most, and what the verdicts are worth."""
    if not changes:
        console.print("no calls on either side")
        return
    shown = changes[: limit or ROWS]
    for line in lay_out(_columns(shown), width):
        say(console, line)
    if len(changes) > len(shown):
        console.print(f"... only the first {len(shown)} of {len(changes)} functions; --limit N shows more")
    for remark in remarks(changes):
        console.print(remark)


def remarks(changes: Sequence[Change]) -> list[str]:
    """What the verdicts are worth, and how many functions take more time; for at least one change."""
    before, after = changes[0].before.runs, changes[0].after.runs
    sides = f"{counted(before, 'run')} before, {counted(after, 'run')} after"
    proof = "; figures are those of the median run"
    worth = proof if changes[0].is_proof else ": indicative only, give several runs of each for proof"
    worse = sum(change.is_regression for change in changes)
    same = sum(change.verdict == SAME for change in changes)
    take = "takes" if worse == 1 else "take"
    return [
        f"{sides}{worth}",
        f"{counted(worse, 'function')} {take} more time than before, {same} did not change",
    ]


def _columns(changes: Sequence[Change]) -> list[Column]:
    return [
        Column("layer", tuple(printable(change.layer) for change in changes), folds=True),
        Column("function", tuple(printable(change.name) for change in changes), folds=True),
        Column("calls", tuple(_pair(f"{c.before.calls:,.0f}", f"{c.after.calls:,.0f}") for c in changes), right=True),
        Column("time", tuple(_pair(time(c.before), time(c.after)) for c in changes), right=True),
        Column("per call", tuple(_pair(per_call(c.before), per_call(c.after)) for c in changes), right=True),
        Column("effect", tuple(effect(change) for change in changes), right=True),
        Column("p", tuple(probability(change) for change in changes), right=True),
        Column("verdict", tuple(change.verdict for change in changes)),
    ]


def _pair(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def time(side: Side) -> str:
    """Time in a function's calls; empty where there are none."""
    return duration(round(side.time_us)) if side.calls else ""


def per_call(side: Side) -> str:
    """Time of a call; empty where it is not known."""
    return "" if side.per_call_us is None else duration(round(side.per_call_us))


def effect(change: Change) -> str:
    """By how much the time of a call changed; empty where it is not known."""
    return "" if change.effect is None else f"{change.effect:+.0%}"


def probability(change: Change) -> str:
    """That of such a difference by chance; empty where it was not judged."""
    if change.probability is None:
        return ""
    return "<0.001" if change.probability < 0.001 else f"{change.probability:.3f}"
