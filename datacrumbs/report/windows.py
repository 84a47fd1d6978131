"""The stretches of a run with the most time in calls, call by call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.report.nesting import rank
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacrumbs.report.heatmap import Heat
    from datacrumbs.report.nesting import Near

WINDOWS = 20
SLICES = 2000
LANES = 24
"""Threads shown in a window."""
THREAD = ["trace", "pid", "tid"]


@dataclass(frozen=True, slots=True)
class Slice:
    """One call in a window.

    Attributes:
        lane: Its thread's number in the window.
        depth: How many calls of the window it is inside of.
        category: Of its layer.
        name: Of its function.
        path: Of its file, or empty.
        begin_us: After the window's beginning; negative for a call that began before.
        duration_us: How long it took.
        bytes: It moved, or None.
        failed: Whether it did.
    """

    lane: int
    depth: int
    category: str
    name: str
    path: str
    begin_us: int
    duration_us: int
    bytes: int | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the run.

    Attributes:
        begin_us: After the first call.
        width_us: Its length.
        time_us: What all processes spent in calls in it.
        calls: Lines that reach into it.
        lanes: (trace, pid, tid) of the threads that are shown, the busiest first.
        slices: The longest calls of these threads, in the order of lanes and beginnings.
    """

    begin_us: int
    width_us: int
    time_us: int
    calls: int
    lanes: list[tuple[int, int, int]] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)


def windows(near: Near, heat: Heat, works: pl.Expr) -> list[Window]:
    """Those `WINDOWS` stretches in which processes spent the most time in calls, the costliest first.

    Args:
        near: Gives the lines that reach into an interval, perhaps with others, and with what `outermost` gives for the
            scope ``process`` where every call has one.
        heat: Of the calls that matter: says which stretches these are.
        works: Which calls matter: they decide which threads and slices are shown, and the others fill up.
    """
    sums = heat.time_us.sum(axis=0)
    costliest = sorted(range(heat.stretches), key=lambda at: (-sums[at], at))[:WINDOWS]
    found = (_window(near, heat, at, round(float(sums[at])), works) for at in costliest if sums[at] > 0)
    return [window for window in found if window.slices]


def _window(near: Near, heat: Heat, at: int, time_us: int, works: pl.Expr) -> Window:
    begin = heat.first_us + at * heat.width_us
    calls = near(begin, begin + heat.width_us, None)
    within = pl.col("within") if "within" in calls.collect_schema() else pl.lit(value=False)
    calls = calls.with_columns(works.alias("works"), (works & ~within).alias("counts"))
    inside = calls.filter(pl.col("ts") < begin + heat.width_us, pl.col("end") >= begin).with_columns(rank())
    seconds = pl.min_horizontal("end", begin + heat.width_us) - pl.max_horizontal("ts", begin)
    times = [seconds.filter("counts").sum().alias("working"), seconds.sum().alias("time")]
    lanes = inside.group_by(THREAD).agg(pl.len(), *times).collect(engine="streaming")
    busiest = lanes.sort("working", "time", *THREAD, descending=[True, True, False, False, False])
    shown = busiest.head(LANES).with_row_index("lane")
    columns = ["works", "lane", "category", "name", "path", "ts", "dur", "end", "rank", "order", "bytes", "errno"]
    of_lanes = inside.join(shown.lazy().select("lane", *THREAD), on=THREAD).select(columns)
    longest = (
        of_lanes.sort("works", "dur", "order", descending=[True, True, False]).head(SLICES).collect(engine="streaming")
    )
    ordered = longest.sort("lane", "ts", "end", "rank", "order", descending=[False, False, True, False, False])
    slices = list(_nested(ordered.iter_rows(named=True), begin))
    threads = list(shown.select(THREAD).iter_rows())
    return Window(begin - heat.first_us, heat.width_us, time_us, int(lanes["len"].sum()), threads, slices)


def _nested(rows: Iterable[dict[str, object]], begin: int) -> Iterable[Slice]:
    lane, ends = -1, list[int]()
    for row in rows:
        here, start, end = (int(str(row[key])) for key in ("lane", "ts", "end"))
        if here != lane:
            lane, ends = here, []
        while ends and (ends[-1] < end or ends[-1] <= start):
            ends.pop()
        size = row["bytes"]
        yield Slice(
            here,
            len(ends),
            str(row["category"]),
            str(row["name"]),
            str(row["path"] or ""),
            start - begin,
            end - start,
            size if isinstance(size, int) else None,
            row["errno"] is not None,
        )
        ends.append(end)
