"""Where the time of a run went: what each process spent in calls, stretch by stretch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray  # noqa: TC002 - values are made by the types of fields

from datacrumbs.report.estimated_rows import is_needed, weighted
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from datacrumbs.trace.reader import Traces

STRETCHES = 240
PLACE = ["trace", "pid"]


@dataclass(frozen=True, slots=True)
class Heat:
    """Sums of processes over time.

    Attributes:
        first_us: Beginning of the first stretch, epoch us.
        width_us: Length of each stretch.
        places: (trace, pid) of each row.
        time_us: Row x stretch: time in calls, of all threads of the process.
        bytes: Row x stretch: bytes moved by calls that began in it.
        spread: Whether calls that were only added up are among them, spread evenly over the time of their sums.
    """

    first_us: int
    width_us: int
    places: list[tuple[int, int]]
    time_us: NDArray[np.float64]
    bytes: NDArray[np.float64]
    spread: bool = False

    @property
    def stretches(self) -> int:
        """How many there are."""
        return int(self.time_us.shape[1])


def heat(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, marked: pl.LazyFrame | None, works: pl.Expr
) -> tuple[Heat, Heat]:
    """Sum the calls of each process by stretches of the run; the sums of a row are those of the table of processes.

    Args:
        traces: Where they come from.
        calls: The lines.
        profiles: The profiles.
        marked: What `outermost` gives of the calls for the scope ``process``; None where not every call has a line.
        works: Which calls matter.

    Returns:
        That of all calls; and in the same stretches that of the lines that matter, without profiles.
    """
    if is_needed(traces) or marked is None:
        whole = _weighted(traces, calls, profiles, None)
        return whole, _weighted(traces, calls.filter(works), profiles.clear(), whole)
    lines = marked.with_columns(pl.lit(1.0).alias("factor"), works.alias("works"))
    first, width, number = _stretches(lines, profiles.clear())
    added, long = _sums(lines, first, width)
    found = (
        _empty(added.select(PLACE), first, width, number),
        _empty(added.filter("works").select(PLACE), first, width, number),
    )
    for result, only in zip(found, (pl.lit(value=True), pl.col("works")), strict=True):
        _add_lines(result, added.filter(only), long.filter(only))
    return found


# The same where not every call has a line; in the stretches of another one, if given.
def _weighted(traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, other: Heat | None) -> Heat:
    calls, profiles = weighted(traces, calls, profiles, "process")
    lines = calls.with_columns(pl.col("bytes").alias("own_bytes"), pl.lit(value=True).alias("works"))
    first, width, number = (other.first_us, other.width_us, other.stretches) if other else _stretches(lines, profiles)
    added, long = _sums(lines, first, width)
    result = _empty(pl.concat([added.select(PLACE), profiles.select(PLACE)]), first, width, number)
    _add_lines(result, added, long)
    rows = {place: row for row, place in enumerate(result.places)}
    for part in profiles.iter_rows(named=True):
        _add_profile(result, rows[part["trace"], part["pid"]], part)
    return replace(result, spread=len(profiles) > 0)


def _empty(places: pl.DataFrame, first: int, width: int, number: int) -> Heat:
    rows = list(places.unique().sort(PLACE).iter_rows())
    return Heat(first, width, rows, np.zeros((len(rows), number)), np.zeros((len(rows), number)))


# The first moment, the length of a stretch, and how many there are.
def _stretches(lines: pl.LazyFrame, profiles: pl.DataFrame) -> tuple[int, int, int]:
    begin, end = pl.col("ts"), pl.col("ts") + pl.max_horizontal("dur", 0)
    extremes = lines.select(begin.min(), end.max().alias("last")).collect(engine="streaming").row(0)
    extremes += profiles.select(pl.col("begin").min(), pl.col("end").max()).row(0)
    moments: list[int] = [moment for moment in extremes if moment is not None]
    if not moments:
        return 0, 1, 1
    first, last = min(moments), max(moments)
    width = max(-(-(last - first + 1) // STRETCHES), 1)
    return first, width, (last - first) // width + 1


# What is added up of lines in each stretch, and the lines that reach from one stretch into the next: a thread is in one
# call at a time, so that these are few.
def _sums(lines: pl.LazyFrame, first: int, width: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    at, until = (((moment - first) // width) for moment in (pl.col("ts"), pl.col("ts") + pl.col("dur")))
    lines = lines.with_columns(at.alias("stretch"), until.alias("until"))
    counts = ~pl.col("within") & (pl.col("dur") > 0)
    is_short = pl.col("stretch") == pl.col("until")
    moved = (pl.col("own_bytes") * pl.col("factor")).sum().alias("bytes")
    took = (pl.col("dur") * pl.col("factor")).filter(counts & is_short).sum().alias("time")
    added = lines.group_by(*PLACE, "works", "stretch").agg(moved, took).collect(engine="streaming")
    long = lines.filter(counts, pl.col("stretch") < pl.col("until"))
    columns = (*PLACE, "works", "ts", "dur", "stretch", "until", "factor")
    return added, long.select(columns).collect(engine="streaming")


def _add_lines(result: Heat, added: pl.DataFrame, long: pl.DataFrame) -> None:
    rows = {place: row for row, place in enumerate(result.places)}
    for trace, process, _, at, size, time in added.iter_rows():
        result.bytes[rows[trace, process], at] += size
        result.time_us[rows[trace, process], at] += time
    for trace, process, _, begin, duration, at, last, factor in long.iter_rows():
        _spread(result, rows[trace, process], (begin, begin + duration, at, last), factor)


def _spread(result: Heat, row: int, place: tuple[int, int, int, int], factor: float) -> None:
    begin, end, at, last = place
    edges = result.first_us + result.width_us * np.arange(at, last + 2)
    inside = np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin)
    result.time_us[row, at : last + 1] += np.maximum(inside, 0)[: result.stretches - at] * factor


def _add_profile(result: Heat, row: int, part: dict[str, int | float | None]) -> None:
    begin, end = (int(part[key] or 0) for key in ("begin", "end"))
    factor = float(part["factor"] or 1)
    length = max(end - begin, 1)
    at, last = ((moment - result.first_us) // result.width_us for moment in (begin, begin + length))
    last = min(last, result.stretches - 1)
    edges = result.first_us + result.width_us * np.arange(at, last + 2)
    share = np.maximum(np.minimum(edges[1:], begin + length) - np.maximum(edges[:-1], begin), 0) / length
    if share.sum() > 0:
        share /= share.sum()
    result.time_us[row, at : last + 1] += share * float(part["time_ns"] or 0) / 1000 * factor
    result.bytes[row, at : last + 1] += share * float(part["bytes"] or 0) * factor
