"""Calls of one process after the other, each with the call that it was made in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.nesting import with_runs
from datacrumbs.report.parents import with_parents
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from datacrumbs.trace.reader import Traces

    Numbers = NDArray[np.int64]

ROWS = 500_000
"""Calls in memory at once; those of one process are more where it made more."""
THREAD = ("run", "pid", "tid")
COLUMNS = (*THREAD, "category", "name", "ts", "dur", "ret", "errno", "bytes", "path", "order", "depth")
NANOSECONDS = 1000


@dataclass(frozen=True, slots=True)
class Tour:
    """How a walk through trees of calls passes their beginnings and ends.

    Attributes:
        begin: Of each call, the step at which it begins.
        end: The step at which it ends.
    """

    begin: Numbers
    end: Numbers


def processes(traces: Traces, calls: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """All calls of some processes at a time, with the columns ``run`` and ``parent`` (a row, or -1)."""
    calls = with_runs(traces, calls)
    sizes = calls.group_by("run", "pid").len().sort("run", "pid").collect(engine="streaming")
    part: list[tuple[int, int]] = []
    waiting = 0
    for number, pid, size in sizes.iter_rows():
        if part and waiting + size > ROWS:
            yield _nested(calls, part)
            part, waiting = [], 0
        part.append((number, pid))
        waiting += size
    if part:
        yield _nested(calls, part)


def tour(nested: pl.DataFrame) -> Tour:
    """The walk, thread by thread; what begins and ends in one microsecond does so in the order of the calls."""
    parent = nested["parent"].to_numpy()
    thread = nested.select(pl.struct(THREAD).rle_id())[THREAD[0]].to_numpy().astype(np.int64)
    end = (nested["ts"] + nested["dur"].clip(0)).to_numpy()
    levels = _levels(parent)
    depth = np.zeros(len(parent), np.int64)
    for number, level in enumerate(levels):
        depth[level] = number
    size = np.ones(len(parent), np.int64)
    for level in reversed(levels[1:]):
        np.add.at(size, parent[level], size[level])
    # Those inside the same call, or in none of the same thread, in their order, each with what is before it.
    family = np.where(parent >= 0, parent + int(thread.max(initial=0)) + 1, thread)
    siblings = np.lexsort((nested["order"].to_numpy(), nested["ts"].to_numpy(), end, family))
    before = np.cumsum(size[siblings]) - size[siblings]
    place = np.empty(len(parent), np.int64)
    place[siblings] = before
    first = np.ones(len(parent), np.bool_)
    first[1:] = family[siblings][1:] != family[siblings][:-1]
    start = np.empty(len(parent), np.int64)
    start[siblings] = np.maximum.accumulate(np.where(first, before, 0))
    position = place.copy()
    for level in levels[1:]:
        position[level] = position[parent[level]] + 1 + place[level] - start[level]
    begin = 2 * position - depth
    return Tour(begin, begin + 2 * size - 1)


def nanoseconds(nested: pl.DataFrame, walk: Tour, first: int) -> tuple[Numbers, Numbers]:
    """Beginnings and ends in nanoseconds after ``first`` (epoch us), a different one for each step within a thread.

    Steps in one microsecond are a nanosecond apart: what is inside another call begins after it and ends before.
    """
    count = len(nested)
    moment = np.empty(2 * count, np.int64)
    moment[walk.begin] = nested["ts"].to_numpy() - first
    moment[walk.end] = (nested["ts"] + nested["dur"].clip(0)).to_numpy() - first
    thread = np.empty(2 * count, np.int64)
    number = nested.select(pl.struct(THREAD).rle_id())[THREAD[0]].to_numpy()
    thread[walk.begin], thread[walk.end] = number, number
    moment = _rising(thread, moment)
    new = np.ones(2 * count, np.bool_)
    new[1:] = (moment[1:] != moment[:-1]) | (thread[1:] != thread[:-1])
    steps = np.arange(2 * count)
    exact = moment * NANOSECONDS + steps - np.maximum.accumulate(np.where(new, steps, 0))
    # More than a thousand steps in a microsecond reach into the next one.
    rising = _rising(thread, exact - steps) + steps
    return rising[walk.begin], rising[walk.end]


# Within each thread no number smaller than one before it. Places of numbers are small, so those of all threads are one
# order without overflow.
def _rising(thread: Numbers, numbers: Numbers) -> Numbers:
    values, place = np.unique(numbers, return_inverse=True)
    base = thread * len(values)
    return np.asarray(values[np.maximum.accumulate(base + place) - base])


def own_time(parent: Numbers, duration: Numbers) -> Numbers:
    """Of each call its duration without those of the calls directly inside it.

    Args:
        parent: (n,) the row of the call around each one, or -1.
        duration: (n,) of 0 or more.
    """
    inside = np.flatnonzero(parent >= 0)
    of_children = np.bincount(parent[inside], duration[inside], len(duration)).astype(np.int64)
    own: Numbers = np.maximum(duration - of_children, 0)
    return own


def _nested(calls: pl.LazyFrame, part: list[tuple[int, int]]) -> pl.DataFrame:
    keys = pl.LazyFrame(part, {"run": pl.Int64, "pid": calls.collect_schema()["pid"]}, orient="row")
    return with_parents(calls.join(keys, on=["run", "pid"], how="semi").select(COLUMNS).collect(), THREAD)


# The rows that are in no other call, those directly inside of these, and so on.
def _levels(parent: Numbers) -> list[Numbers]:
    levels = [np.flatnonzero(parent < 0)]
    placed = parent < 0
    rest = np.flatnonzero(parent >= 0)
    while len(rest):
        ready = placed[parent[rest]]
        level, rest = rest[ready], rest[~ready]
        placed[level] = True
        levels.append(level)
    return levels
