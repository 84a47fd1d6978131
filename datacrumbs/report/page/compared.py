"""What changed between runs as the page of the later ones shows it: the figures of the table of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacrumbs.report.comparison_table import effect, per_call, probability, remarks, time
from datacrumbs.report.page.sheets import Cell, Sheet, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.report.comparing import Change, Side
    from datacrumbs.report.page.contents import Contents

MOST = 500
"""Functions shown."""
HEADINGS = (
    ("function", True),
    ("layer", True),
    *((f"{what} {when}", False) for what in ("calls", "time", "per call") for when in ("before", "after")),
    ("effect", False),
    ("p", False),
    ("verdict", True),
)


def drawn_comparison(contents: Contents) -> dict[str, Any] | None:
    """What the section says; None where nothing is compared."""
    changes = contents.changes
    if changes is None:
        return None
    caption = (
        "Functions, those whose time changed most first. Per call: median over stretches of time of the mean duration. "
        "Effect: its change. p: the probability of such a difference between stretches if nothing had changed (Mann "
        "and Whitney)."
    )
    rows = tuple(_row(change) for change in changes[:MOST])
    more = max(len(changes) - MOST, 0)
    return {
        "remarks": remarks(changes),
        "sheet": Sheet("compared", caption, HEADINGS, rows, more, len(rows) > 10),
    }


def _row(change: Change) -> tuple[Cell, ...]:
    return (
        Cell(shortened(change.name), is_text=True),
        Cell(shortened(change.layer), is_text=True),
        *_both(change, lambda side: (f"{side.calls:,.0f}", side.calls)),
        *_both(change, lambda side: (time(side), side.time_us)),
        *_both(change, lambda side: (per_call(side), side.per_call_us)),
        _cell(effect(change), change.effect),
        _cell(probability(change), change.probability),
        Cell(change.verdict, is_text=True),
    )


def _both(change: Change, cell: Callable[[Side], tuple[str, float | None]]) -> list[Cell]:
    return [_cell(*cell(side)) for side in (change.before, change.after)]


def _cell(text: str, order: float | None) -> Cell:
    return Cell(text, "" if order is None else f"{order:.6g}")
