"""How long each layer worked: by itself, and in wall-clock time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datacrumbs.report.intervals import fresh
from datacrumbs.report.nesting import THREAD, from_the_top
from datacrumbs.trace.dataframes import pl


@dataclass(frozen=True, slots=True)
class Busy:
    """Time of the calls that have lines.

    Attributes:
        own_us: By category: time in its calls during which no call of a lower layer was active, added up over threads.
        wall_us: By category: time during which at least one thread was in one of its calls.
        total_us: Time during which at least one thread was in any call.
        span_us: From the first call's beginning to the last one's end.
        first_us: The first call's beginning, epoch us.
    """

    own_us: dict[str, int]
    wall_us: dict[str, int]
    total_us: int = 0
    span_us: int = 0
    first_us: int = 0


def busy(marked: pl.LazyFrame) -> Busy:
    """Add up intervals.

    A layer never contains a higher one. So what a thread spent in a layer itself is what it spent in that layer and
    those below it, less what it spent in those below it.

    Args:
        marked: Calls as `outermost` gives them for the scope ``layer``.
    """
    begin, end = pl.col("ts"), pl.col("ts") + pl.max_horizontal("dur", 0)
    first, last = marked.select(begin.min(), end.max().alias("end")).collect(engine="streaming").row(0)
    if first is None:
        return Busy({}, {})
    timed = marked.filter(~pl.col("within"), pl.col("dur") > 0)
    threads = timed.select(THREAD).unique().collect(engine="streaming").sort(THREAD).with_row_index("lane")
    ranks = {category: position for position, category in enumerate(_categories(timed))}
    layer = pl.col("category").cast(pl.String).replace_strict(ranks, return_dtype=pl.UInt32).alias("layer")
    columns = [(begin - first).alias("begin"), (end - first).alias("end"), layer, "lane"]
    calls = timed.join(threads.lazy(), on=THREAD).select(columns).collect(engine="streaming")
    wall = {name: _union(calls.filter(pl.col("layer") == position)) for name, position in ranks.items()}
    total = _union(calls)
    own, below = {}, 0
    for name, position in reversed(ranks.items()):
        here = _union(calls.filter(pl.col("layer") >= position), "lane")
        own[name], below = here - below, here
    return Busy(own, wall, total, last - first, first)


# Of the calls, from the application down.
def _categories(calls: pl.LazyFrame) -> list[str]:
    found = calls.select(pl.col("category").cast(pl.String).unique()).collect(engine="streaming").to_series()
    return from_the_top(found)


# What intervals cover, each lane for itself.
def _union(intervals: pl.DataFrame, lane: str | None = None) -> int:
    ordered = intervals.sort(*([lane] if lane else []), "begin")
    lanes = ordered[lane].to_numpy().astype(np.int64) if lane else np.zeros(len(ordered), np.int64)
    return int(fresh(lanes, ordered["begin"].to_numpy(), ordered["end"].to_numpy()).sum())
