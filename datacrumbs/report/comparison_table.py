"""A comparison for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.output import counted, printable
from datacrumbs.report.comparing import SAME
from datacrumbs.report.layout import Column, lay_out
from datacrumbs.report.tables import duration, say

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
    before, after = changes[0].before.runs, changes[0].after.runs
    sides = f"{counted(before, 'run')} before, {counted(after, 'run')} after"
    if changes[0].is_proof:
        console.print(f"{sides}; figures are those of the median run")
    else:
        console.print(f"{sides}: indicative only, give several runs of each for proof")
    worse = sum(change.is_regression for change in changes)
    same = sum(change.verdict == SAME for change in changes)
    take = "takes" if worse == 1 else "take"
    console.print(f"{counted(worse, 'function')} {take} more time than before, {same} did not change")


def _columns(changes: Sequence[Change]) -> list[Column]:
    return [
        Column("layer", tuple(printable(change.layer) for change in changes), folds=True),
        Column("function", tuple(printable(change.name) for change in changes), folds=True),
        Column("calls", tuple(_pair(f"{c.before.calls:,.0f}", f"{c.after.calls:,.0f}") for c in changes), right=True),
        Column("time", tuple(_pair(_time(c.before), _time(c.after)) for c in changes), right=True),
        Column("per call", tuple(_pair(_per_call(c.before), _per_call(c.after)) for c in changes), right=True),
        Column("p", tuple("" if c.probability is None else _probability(c.probability) for c in changes), right=True),
        Column("verdict", tuple(change.verdict for change in changes)),
    ]


def _pair(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _time(side: Side) -> str:
    return duration(round(side.time_us)) if side.calls else ""


def _per_call(side: Side) -> str:
    return "" if side.per_call_us is None else duration(round(side.per_call_us))


def _probability(number: float) -> str:
    return "<0.001" if number < 0.001 else f"{number:.3f}"
