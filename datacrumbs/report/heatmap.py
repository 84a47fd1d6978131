"""Where the time of a run went: what each process spent in calls, stretch by stretch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.estimated_rows import is_needed, weighted
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    traces: Traces,
    calls: pl.LazyFrame,
    profiles: pl.DataFrame,
    marked: pl.LazyFrame | None,
    whole: Heat | None = None,
) -> Heat:
    """Sum the calls of each process by stretches of the run; the sums of a row are those of the table of processes.

    Args:
        traces: Where they come from.
        calls: The lines.
        profiles: The profiles.
        marked: What `outermost` gives of the calls for the scope ``process``; None where not every call has a line.
        whole: That of more calls, whose stretches are used; None for those of these calls.
    """
    if is_needed(traces) or marked is None:
        calls, profiles = weighted(traces, calls, profiles, "process")
        lines = calls.with_columns(pl.col("bytes").alias("own_bytes"))
    else:
        lines = marked.with_columns(pl.lit(1.0).alias("factor"))
        profiles = profiles.clear().with_columns(factor=pl.lit(1.0))
    first, width, number = (whole.first_us, whole.width_us, whole.stretches) if whole else _stretches(lines, profiles)
    places = (
        pl.concat([lines.select(PLACE).unique().collect(engine="streaming"), profiles.select(PLACE)])
        .unique()
        .sort(PLACE)
    )
    rows = {place: row for row, place in enumerate(places.iter_rows())}
    result = Heat(first, width, list(rows), np.zeros((len(rows), number)), np.zeros((len(rows), number)))
    _add_lines(result, lines, rows)
    for part in profiles.iter_rows(named=True):
        _add_profile(result, rows[part["trace"], part["pid"]], part)
    return Heat(first, width, result.places, result.time_us, result.bytes, spread=len(profiles) > 0)


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


def _add_lines(result: Heat, lines: pl.LazyFrame, rows: dict[tuple[int, int], int]) -> None:
    stretch = ((pl.col("ts") - result.first_us) // result.width_us).alias("stretch")
    moved = (pl.col("own_bytes") * pl.col("factor")).sum().alias("bytes")
    for trace, process, at, size in lines.group_by(*PLACE, stretch).agg(moved).collect(engine="streaming").iter_rows():
        result.bytes[rows[trace, process], at] += size
    timed = lines.filter(~pl.col("within"), pl.col("dur") > 0).with_columns(stretch)
    until = ((pl.col("ts") + pl.col("dur") - result.first_us) // result.width_us).alias("until")
    timed = timed.with_columns(until)
    short = timed.filter(pl.col("stretch") == pl.col("until")).group_by(*PLACE, "stretch")
    took = (pl.col("dur") * pl.col("factor")).sum()
    for trace, process, at, time in short.agg(took).collect(engine="streaming").iter_rows():
        result.time_us[rows[trace, process], at] += time
    # A thread is in one call at a time, so that few calls reach from one stretch into the next.
    long = timed.filter(pl.col("stretch") < pl.col("until")).select(*PLACE, "ts", "dur", "stretch", "until", "factor")
    for trace, process, begin, duration, at, last, factor in long.collect(engine="streaming").iter_rows():
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
