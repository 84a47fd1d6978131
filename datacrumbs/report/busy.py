"""How long each layer worked: by itself, and in wall-clock time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.nesting import LAYERS, THREAD
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    columns = [*THREAD, (begin - first).alias("begin"), (end - first).alias("end"), pl.col("category").cast(pl.String)]
    calls = marked.filter(~pl.col("within"), pl.col("dur") > 0).select(columns).collect(engine="streaming")
    calls = calls.sort("begin")
    wall = {str(key): _union(part) for (key,), part in calls.group_by("category")}
    total = _union(calls)
    order = {category: position for position, category in enumerate(LAYERS)}
    lanes = calls.with_columns(pl.struct(THREAD).rank("dense").cast(pl.Int64).alias("lane"))
    lanes = lanes.with_columns(pl.col(key) + pl.col("lane") * (last - first + 1) for key in ("begin", "end"))
    lanes = lanes.sort("begin").select("begin", "end", "category")
    own, below, lower = {}, 0, []
    for category in sorted(wall, key=lambda name: (order.get(name, -1), name), reverse=True):
        lower.append(category)
        here = _union(lanes.filter(pl.col("category").is_in(lower)))
        own[category], below = here - below, here
    return Busy(own, wall, total, last - first, first)


# Of intervals in the order of their beginnings, what they cover.
def _union(intervals: pl.DataFrame) -> int:
    if intervals.is_empty():
        return 0
    begin: NDArray[np.int64] = intervals["begin"].to_numpy()
    end: NDArray[np.int64] = intervals["end"].to_numpy()
    before = np.empty_like(end)
    before[0] = begin[0]
    before[1:] = np.maximum.accumulate(end)[:-1]
    return int(np.maximum(end - np.maximum(begin, before), 0).sum())
