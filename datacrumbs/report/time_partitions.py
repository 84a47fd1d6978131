"""A run divided by time into partitions whose calls fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BINS = 10_000
EARLIEST, LATEST = -(1 << 63), (1 << 63) - 1


class TimePartition(NamedTuple):
    """Calls that begin at or after ``begin`` and before ``end`` (epoch us), and how many they are."""

    begin: int
    end: int
    calls: int


def time_partitions(calls: pl.LazyFrame, most: int) -> Iterator[TimePartition]:
    """Divide time so that in each part at most ``most`` calls begin, or those of one of `BINS` parts of the run.

    Args:
        calls: With the column ts.
        most: Calls of a partition.

    Returns:
        Partitions in order, from `EARLIEST` to `LATEST`.
    """
    at = pl.col("ts")
    first, last, count = calls.select(at.min(), at.max().alias("last"), pl.len()).collect(engine="streaming").row(0)
    if count <= most:
        yield TimePartition(EARLIEST, LATEST, count)
        return
    width = max((last - first) // BINS, 1)
    bins = calls.group_by(((at - first) // width).alias("bin")).len().sort("bin").collect(engine="streaming")
    yield from _partitions(bins.iter_rows(), first, width, most)


def first_partitions(calls: pl.LazyFrame, processes: pl.DataFrame, most: int) -> list[TimePartition]:
    """The first partition of the calls of each of some processes with more calls than ``most``.

    Args:
        calls: With the columns run, pid and ts.
        processes: Columns run, pid, first and last: when its first and its last call begin.
        most: Calls of a partition.
    """
    width = ((pl.col("last") - pl.col("first")) // BINS).clip(1).alias("width")
    spans = processes.select("run", "pid", "first", width).with_row_index("place")
    placed = calls.filter(pl.col("pid").is_in(processes["pid"].unique().to_list()))
    placed = placed.select("run", "pid", "ts").join(spans.lazy(), on=["run", "pid"])
    number = ((pl.col("ts") - pl.col("first")) // pl.col("width")).alias("bin")
    bins = placed.group_by("place", number).len().sort("place", "bin").collect(engine="streaming")
    found = []
    for place, first, width in spans.select("place", "first", "width").iter_rows():
        of_process = bins.filter(pl.col("place") == place).select("bin", "len").iter_rows()
        found.append(next(_partitions(of_process, first, width, most)))
    return found


# Of bins in order, each with how many calls begin in it.
def _partitions(bins: Iterable[tuple[int, int]], first: int, width: int, most: int) -> Iterator[TimePartition]:
    begin, within = EARLIEST, 0
    for number, here in bins:
        if within and within + here > most:
            end = first + number * width
            yield TimePartition(begin, end, within)
            begin, within = end, 0
        within += here
    yield TimePartition(begin, LATEST, within)
