"""A run divided by time into partitions whose calls fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    begin, within = EARLIEST, 0
    if count > most:
        width = max((last - first) // BINS, 1)
        bins = calls.group_by(((at - first) // width).alias("bin")).len().sort("bin").collect(engine="streaming")
        for number, here in bins.iter_rows():
            if within and within + here > most:
                end = first + number * width
                yield TimePartition(begin, end, within)
                begin, within = end, 0
            within += here
        count = within
    yield TimePartition(begin, LATEST, count)
