"""What a page says: the rows of the report's tables, and what is drawn of the same calls."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from datacrumbs.output import counted, printable
from datacrumbs.report import FILES_OF_PAGE
from datacrumbs.report.page.figures import Rows
from datacrumbs.report.sorting import by_layer
from datacrumbs.report.tables import print_trace
from datacrumbs.report.tracing_cost import TracingCost, tracing_costs

if TYPE_CHECKING:
    from datacrumbs.report.asked_calls import DrawnCalls
    from datacrumbs.report.comparing import Change
    from datacrumbs.report.explaining import Explanation
    from datacrumbs.report.findings.judging import Findings
    from datacrumbs.report.heatmap import Heat
    from datacrumbs.report.page.figures import Figures
    from datacrumbs.trace.reader import TraceFile, Traces

LIMITS = {"file": FILES_OF_PAGE, "channel": 500, "failure": 500, "process": 2000}
"""Rows of the tables."""
TRACES = 50
"""Traces that are described one by one."""


@dataclass(slots=True)
class Contents:
    """All of a page, before it is drawn.

    Attributes:
        selected: Whether only some of the calls are looked at.
        figures: What is drawn of them.
        functions: Rows of the table of functions, by layer.
        layers: Rows of the table of layers.
        findings: What rules found, if they were asked.
        explanation: Of a function, if it was asked for.
        changes: From other runs to these, if they are compared.
        costs: What tracing cost, by run.
        tables: Of files, channels, failures and processes.
    """

    traces: Traces
    selected: bool
    figures: Figures
    functions: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    findings: Findings | None = None
    explanation: Explanation | None = None
    changes: list[Change] | None = None
    costs: list[TracingCost] = field(default_factory=list)
    tables: dict[str, Rows] = field(default_factory=dict)


def gather(calls: DrawnCalls, findings: Findings | None = None, *, selected: bool = False) -> Contents:
    """Everything that a page needs.

    Args:
        calls: Those that it is about.
        findings: What rules found; None if they were not asked.
        selected: Whether these are only some of the calls.
    """
    figures = calls.figures(patterns=findings is not None)
    functions, layers = by_layer(calls.rows("function", None)), calls.rows("layer", None)
    contents = Contents(calls.traces, selected, figures, functions, layers, findings)
    contents.costs = tracing_costs(calls.traces, calls.lives)
    for view, limit in LIMITS.items():
        kept = calls.rows(view, limit + 1)
        contents.tables[view] = Rows(kept[:limit], calls.total(view) if len(kept) > limit else len(kept))
    return contents


def verdict(contents: Contents) -> tuple[str, list[str]]:
    """Whether the figures are all of the run, in words: a headline, and what qualifies it."""
    files = contents.traces.files
    wrong = [file for file in files if not file.complete]
    lost = sum(file.lost for file in files)
    qualifiers = [f"{printable(str(file.path))}: {printable(file.shortcoming)}." for file in wrong[:5]]
    if len(wrong) > 5:
        qualifiers.append(f"And {counted(len(wrong) - 5, 'more trace')}: see the end of the page.")
    if lost:
        qualifiers.append(f"{counted(lost, 'call was', 'calls were')} lost: no figure has them.")
    if contents.figures.unlined:
        what = counted(contents.figures.unlined, "call was", "calls were")
        qualifiers.append(
            f"{what} only added up while the run went on. They are in the sums; when each was made, "
            "and which calls were inside which, is not known of them."
        )
    if any(file.sampled for file in files):
        qualifiers.append("Some functions were sampled. Their figures are estimates (~), with their margins if known.")
    if contents.selected:
        qualifiers.append("Only a selection of the calls is in this page.")
    return _headline(len(wrong), len(files), lost), qualifiers


def _headline(wrong: int, files: int, lost: int) -> str:
    if wrong:
        which = "The trace is" if files == 1 else f"{wrong:,} of {files:,} traces are"
        return f"{which} not complete: what is missing is in no figure."
    which = "The trace is" if files == 1 else f"All {files:,} traces are"
    if lost:
        return f"{which} whole, but calls were lost."
    return f"{which} complete: every call that was to be traced is accounted for."


def account(trace: TraceFile) -> str:
    """What the tables say of a trace, in the same words."""
    stream = io.StringIO()
    print_trace(Console(file=stream, color_system=None, markup=False, highlight=False, width=10_000), trace)
    return stream.getvalue()


def merged(found: Heat, most: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[tuple[int, int] | None]]:
    """Rows of a heat map: time, bytes and places; those with the least time are one row, without a place."""
    places: list[tuple[int, int] | None] = list(found.places)
    if len(places) <= most:
        return found.time_us, found.bytes, places
    dearest = np.sort(np.argsort(-found.time_us.sum(axis=1), kind="stable")[: most - 1])
    rest = np.setdiff1d(np.arange(len(places)), dearest)
    time, moved = (np.vstack([frame[dearest], frame[rest].sum(axis=0)]) for frame in (found.time_us, found.bytes))
    return time, moved, [*(found.places[row] for row in dearest), None]
