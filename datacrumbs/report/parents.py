"""Of each call the one that it was made in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datacrumbs.report.nesting import rank
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

NONE = -1
NO_RANK = 1 << 20
NO_ORDER = (1 << 63) - 1


def with_parents(calls: pl.DataFrame, thread: tuple[str, ...]) -> pl.DataFrame:
    """Calls in the order of their threads and beginnings, the outer ones first.

    What is inside what is decided as in `datacrumbs.report.nesting`; further, no call is inside one of a lower layer.

    Args:
        calls: With ts, dur, category, order.
        thread: Columns that tell threads apart.

    Returns:
        The calls with ``parent``: the row of the call that each is directly inside of, or -1.
    """
    end = (pl.col("ts") + pl.max_horizontal("dur", 0)).alias("end")
    keys = [*thread, "ts", "end", "rank", "order"]
    calls = calls.with_columns(end, rank()).sort(keys, descending=[key == "end" for key in keys])
    new = np.ones(len(calls), np.bool_)
    columns = [calls[key].to_numpy() for key in thread]
    new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns]) if len(calls) else False
    begin, end_us, ranks, order = (calls[key].to_numpy() for key in ("ts", "end", "rank", "order"))
    parent = _parents(np.cumsum(new) - 1, _Intervals(np.zeros(len(calls), np.int64), begin, end_us, ranks, order))
    return calls.drop("end", "rank").with_columns(pl.Series("parent", parent))


# Layer of nesting by layer of nesting: those that are inside no other of their group are the parents of the rest.
def _parents(group: Numbers, calls: _Intervals) -> Numbers:
    parent = np.full(len(group), NONE, np.int64)
    if not len(group):
        return parent
    first = calls.begin.min()
    width = int(calls.end.max() - first) + 2
    begin, end = calls.begin - first, calls.end - first
    rows = np.arange(len(group))
    while len(rows):
        base = _dense(group) * width
        part = _Intervals(base, begin[rows], end[rows], calls.rank[rows], calls.order[rows])
        inside, owner = _owners(part)
        parent[rows[inside]] = rows[owner[inside]]
        group, rows = owner[inside], rows[inside]
        together = np.argsort(group, kind="stable")
        group, rows = group[together], rows[together]
    return _without_higher_layers(parent, calls.rank)


def _dense(group: Numbers) -> Numbers:
    new = np.zeros(len(group), np.int64)
    new[1:] = group[1:] != group[:-1]
    return np.cumsum(new)


# Whether each call is inside another of its group, and the position of the outermost one that it may be inside of.
def _owners(calls: _Intervals) -> tuple[NDArray[np.bool_], Numbers]:
    base, begin, end, _, _ = calls
    furthest = np.full(len(base), -1, np.int64)
    furthest[1:] = np.maximum.accumulate(base + end)[:-1]
    furthest -= base
    inside = furthest >= end
    instant = begin == end
    if instant.any():
        inside[instant] = _instants_inside(calls, furthest)[instant]
    position = np.arange(len(base))
    longest = np.maximum.accumulate(np.where(~inside & ~instant, position, -1))
    last = np.maximum.accumulate(np.where(~inside, position, -1))
    covers = (longest >= 0) & (base[longest] == base) & (end[longest] >= end)
    return inside, np.where(covers, longest, last)


def _without_higher_layers(parent: Numbers, ranks: Numbers) -> Numbers:
    while True:
        wrong = (parent >= 0) & (ranks[parent] > ranks)
        if not wrong.any():
            return parent
        parent[wrong] = parent[parent[wrong]]


class _Intervals(NamedTuple):
    """Calls in the order of their groups, their beginnings, the longer first, the higher layer first, and of the file.

    Moments are small numbers, so that ``base``, which is the group's, makes those of all groups one order.
    """

    base: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    rank: NDArray[np.int64]
    order: NDArray[np.int64]


def _instants_inside(calls: _Intervals, furthest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each call of no whole microsecond is inside another one of its group.

    Args:
        calls: Also those that take time, for which the answer means nothing.
        furthest: The end of the calls before each.
    """
    base, begin, end, rank, order = calls
    starts, ends = base + begin, base + end
    place, tie = _groups(starts)
    inside: NDArray[np.bool_] = furthest[place][tie] > begin
    long = end > begin
    beside = np.minimum.reduceat(np.where(long, rank, NO_RANK), place)[tie]
    inside |= beside < rank
    # A call of a higher layer that ends in this microsecond.
    by_end = np.argsort(ends, kind="stable")
    last, where = np.unique(ends[by_end], return_index=True)
    ending = np.minimum.reduceat(rank[by_end], where)
    found = np.minimum(np.searchsorted(last, starts), len(last) - 1)
    inside |= (last[found] == starts) & (ending[found] < rank)
    # A call of the same layer that begins in this microsecond, and stands before.
    tied = np.flatnonzero(beside < NO_RANK)
    if len(tied):
        position = np.where(long, order, NO_ORDER)[tied]
        by_rank = np.lexsort((position, rank[tied], tie[tied]))
        first, group = _groups(tie[tied][by_rank] * (2 * NO_RANK) + rank[tied][by_rank])
        rows = tied[by_rank]
        inside[rows] |= position[by_rank][first][group] < order[rows]
    return inside


# Where each run of equal numbers begins, and of each number the run.
def _groups(numbers: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    new = np.ones(len(numbers), np.bool_)
    new[1:] = numbers[1:] != numbers[:-1]
    return np.flatnonzero(new), np.cumsum(new) - 1
