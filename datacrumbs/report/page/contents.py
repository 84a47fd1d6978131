"""What a page says: the rows of the report's tables, and what is drawn of the same calls."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from datacrumbs.output import counted, printable
from datacrumbs.report.busy_time import Busy, busy
from datacrumbs.report.call_selection import ALL
from datacrumbs.report.distributions import Distribution, Function, distributions
from datacrumbs.report.estimated_rows import is_needed
from datacrumbs.report.findings.patterns import access_patterns
from datacrumbs.report.heatmap import Heat, heat
from datacrumbs.report.nesting import Nesting
from datacrumbs.report.sorting import by_layer
from datacrumbs.report.summary import conservation, number_of_rows, table
from datacrumbs.report.tables import print_trace
from datacrumbs.report.tracing_cost import TracingCost, tracing_costs
from datacrumbs.report.views import on_channel
from datacrumbs.report.windows import Window, windows

if TYPE_CHECKING:
    from datacrumbs.report.call_selection import CallSelection
    from datacrumbs.report.comparing import Change
    from datacrumbs.report.explaining import Explanation
    from datacrumbs.report.findings.judging import Findings
    from datacrumbs.trace.dataframes import pl
    from datacrumbs.trace.reader import TraceFile, Traces

FILES, CHANNELS, FAILURES, PROCESSES = 5000, 500, 500, 2000
"""Rows of the tables."""
PATTERNS_SHOWN, PORTIONS_SHOWN = 500, 8
"""Rows, and how many portions of calls are looked at for them: with more there is no such table."""
TRACES = 50
"""Traces that are described one by one."""


@dataclass(slots=True)
class Rows:
    """The first rows of a table, and how many there are."""

    rows: list[dict[str, Any]]
    total: int


@dataclass(slots=True)
class Contents:
    """All of a page, before it is drawn.

    Attributes:
        selected: Whether only some of the calls are looked at.
        estimated: Whether not every call has a line of its own.
        unlined: Calls that were only added up.
        functions: Rows of the table of functions, by layer.
        layers: Rows of the table of layers.
        spread: Durations and sizes of each function.
        findings: What rules found, if they were asked.
        patterns: In which order files were read and written, if that is known.
        explanation: Of a function, if it was asked for.
        changes: From other runs to these, if they are compared.
        costs: What tracing cost, by run.
        tables: Of files, channels, failures and processes.
    """

    traces: Traces
    selected: bool
    estimated: bool
    unlined: int
    functions: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    spread: dict[Function, Distribution]
    busy: Busy
    heat: Heat
    windows: list[Window]
    findings: Findings | None = None
    patterns: Rows | None = None
    explanation: Explanation | None = None
    changes: list[Change] | None = None
    costs: list[TracingCost] = field(default_factory=list)
    tables: dict[str, Rows] = field(default_factory=dict)


def gather(
    traces: Traces,
    calls: pl.LazyFrame,
    profiles: pl.DataFrame,
    selection: CallSelection,
    findings: Findings | None = None,
) -> Contents:
    """Everything that a page needs, of the calls that a selection leaves."""
    estimated = is_needed(traces)
    nesting = Nesting(traces, calls, ("layer",) if estimated else ("layer", "process", "file"))
    layered = nesting.outermost("layer")
    by_process = None if estimated else nesting.outermost("process")

    def rows(view: str, limit: int | None = None) -> list[dict[str, Any]]:
        return table(traces, calls, profiles, view, limit, selection=selection, nesting=nesting)

    # What programs wait for shows in the heat map; where they work is what a window is for.
    works = ~on_channel(traces, calls)
    found, working = heat(traces, calls, profiles, by_process, works)
    contents = Contents(
        traces,
        selection != ALL,
        estimated,
        int(profiles["count"].sum()),
        by_layer(rows("function")),
        rows("layer"),
        distributions(traces, layered, profiles),
        busy(layered, nesting.partitions),
        found,
        windows(calls if by_process is None else by_process, working, works),
        findings,
    )
    contents.costs = tracing_costs(traces)
    if findings is not None:
        patterns, _ = access_patterns(traces, calls, PORTIONS_SHOWN, partly=False)
        contents.patterns = Rows(patterns[:PATTERNS_SHOWN], len(patterns))
    for view, limit in {"file": FILES, "channel": CHANNELS, "failure": FAILURES, "process": PROCESSES}.items():
        kept = rows(view, limit + 1)
        total = len(kept)
        if total > limit:
            total = number_of_rows(traces, calls, profiles, view, selection)
        contents.tables[view] = Rows(kept[:limit], total)
    return contents


def verdict(contents: Contents) -> tuple[str, list[str]]:
    """Whether the figures are all of the run, in words: a headline, and what qualifies it."""
    files = contents.traces.files
    wrong = [file for file in files if not file.complete]
    lost = sum((conservation(file) or {}).get("lost", 0) for file in files)
    qualifiers = [f"{printable(str(file.path))}: {printable(file.shortcoming)}." for file in wrong[:5]]
    if len(wrong) > 5:
        qualifiers.append(f"And {counted(len(wrong) - 5, 'more trace')}: see the end of the page.")
    if lost:
        qualifiers.append(f"{counted(lost, 'call was', 'calls were')} lost: no figure has them.")
    if contents.unlined:
        what = counted(contents.unlined, "call was", "calls were")
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
