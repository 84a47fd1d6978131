"""What a page draws of calls, apart from its tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from datacrumbs.report.busy_time import Busy, busy
from datacrumbs.report.distributions import Distribution, Function, distributions
from datacrumbs.report.estimated_rows import is_needed
from datacrumbs.report.findings.patterns import access_patterns
from datacrumbs.report.heatmap import Heat, heat
from datacrumbs.report.views import on_channel
from datacrumbs.report.windows import Window, windows

if TYPE_CHECKING:
    from datacrumbs.report.nesting import Near, Nesting
    from datacrumbs.trace.dataframes import pl
    from datacrumbs.trace.reader import Traces

PAGE_VIEWS = ("function", "file", "process")
"""Tables of which each other thing in a page has the scope, too."""
PATTERNS_SHOWN, PORTIONS_SHOWN = 500, 8
"""Rows, and how many portions of calls are looked at for them: with more there is no such table."""


@dataclass(slots=True)
class Rows:
    """The first rows of a table, and how many there are."""

    rows: list[dict[str, Any]]
    total: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums of calls over time, by size and by duration.

    Attributes:
        estimated: Whether not every call has a line of its own.
        unlined: Calls that were only added up.
        spread: Durations and sizes of each function.
        busy: How long layers worked.
        heat: Of each process over time.
        windows: The stretches with the most time.
        patterns: In which order files were read and written, if that is asked for.
    """

    estimated: bool
    unlined: int
    spread: dict[Function, Distribution]
    busy: Busy
    heat: Heat
    windows: list[Window]
    patterns: Rows | None = None


def figures(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, nesting: Nesting, near: Near, *, patterns: bool
) -> Figures:
    """Everything that a page draws.

    Args:
        traces: Where calls come from, read with their details where patterns are asked for.
        calls: Those with lines.
        profiles: Those that were added up.
        nesting: What is inside what, of the scope ``layer`` and, where every call has a line, ``process``.
        near: Gives those of the calls that reach into an interval, as `Nesting` takes it.
        patterns: Whether to look at the order in which files were read and written.
    """
    estimated = is_needed(traces)
    layered = nesting.outermost("layer")
    by_process = None if estimated else nesting.outermost("process")
    # What programs wait for shows in the heat map; where they work is what a window is for.
    works = ~on_channel(traces, calls)
    with ThreadPoolExecutor(1) as pool:  # none of them has work for all processors all the time
        times = pool.submit(busy, layered, nesting.partitions, partial(nesting.near, "layer"))
        found, working = heat(traces, calls, profiles, by_process, works)
        costliest = pool.submit(windows, near if estimated else partial(nesting.near, "process"), working, works)
        spread = distributions(traces, layered, profiles)
        order = _patterns(traces, calls, near) if patterns else None
        unlined = int(profiles["count"].sum())
        return Figures(estimated, unlined, spread, times.result(), found, costliest.result(), order)


def _patterns(traces: Traces, calls: pl.LazyFrame, near: Near) -> Rows:
    found, _ = access_patterns(traces, calls, near, PORTIONS_SHOWN, partly=False)
    return Rows(found[:PATTERNS_SHOWN], len(found))
