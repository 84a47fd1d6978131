"""Which calls are inside others, so that sums over several functions count each byte and microsecond once.

A call is inside another one of its thread when it lies within that one's interval. Lines have whole microseconds, so
what begins or ends in the same microsecond is decided by what else is known:

* A call that takes time is inside whatever covers it. Of two calls with the same interval, the one of the higher layer
  is outside, else the one that stands first in the file.
* A call of no whole microsecond is inside a call of a higher layer that covers it, ends included. Within a layer it
  is inside a call that began before its microsecond and ends after it. Beside a call that begins in the same
  microsecond it is inside when it stands behind it: of calls of a thread that begin in one microsecond, the
  trace has the outer one first.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.reader import run_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.trace.reader import Traces

LAYERS = {
    "HDF5": "HDF5",
    "MPIIO": "MPI-IO",
    "MPI": "MPI",
    "STDIO": "STDIO",
    "POSIX": "POSIX",
    "SYS": "system calls",
    "IO_URING": "io_uring",
    "VFS": "file system",
    "PAGECACHE": "page cache",
    "EXT4": "ext4",
    "XFS": "XFS",
    "KERNEL": "kernel functions",
    "BLOCK": "block layer",
}
"""Category -> layer, from the application down; other categories come first, under their own names."""
INSIDE_KERNEL = ("VFS", "PAGECACHE", "EXT4", "XFS", "KERNEL", "BLOCK")
"""Categories of what serves the calls of the others, also when the thread that caused it has gone on."""
THREAD = ("run", "pid", "tid")
CARRIER = ["run", "pid", "fhash", "category"]
"""A layer's calls on a file: where some of them move bytes, these count, and not those of the calls inside any."""
SCOPES: dict[str, str | None] = {"layer": "category", "file": "fhash", "process": None}
"""What is added up -> the column that its calls have in common, besides their thread."""
NO_WORD = (1 << 32) - 1
NO_RANK = 1 << 20
NO_ORDER = (1 << 63) - 1
WINDOW_ROWS = 4_000_000
BINS = 10_000


def outermost(traces: Traces, calls: pl.LazyFrame, scope: str) -> pl.LazyFrame:
    """Calls, and how each counts in the sums of a scope.

    They are taken a stretch of time at once, together with the earlier calls that reach into it, so that the memory
    that this takes does not grow with the trace where calls are kept in files.

    Args:
        traces: Where they come from.
        calls: Those that a report is about.
        scope: What is added up, of `SCOPES`: the calls of a layer, on a file, or of a process.

    Returns:
        The calls in another order, with the columns ``run`` (the position of the run's first file), ``within`` (it is
        inside another call of the scope and its thread), and ``own_bytes`` (its bytes, or null where those of another
        call include them).
    """
    run = pl.col("trace").cast(pl.Int64).replace_strict(dict(enumerate(runs(traces))), return_dtype=pl.Int64)
    end = (pl.col("ts") + pl.max_horizontal("dur", 0)).alias("end")
    kernel = pl.col("category").cast(pl.String).is_in(INSIDE_KERNEL)
    calls = calls.with_columns(run.alias("run"), end, kernel.alias("kernel"))
    if scope == "layer" or calls.select(kernel.all()).collect(engine="streaming").item():
        calls = calls.with_columns(kernel=False)
    moving = calls.filter(pl.col("bytes") > 0).select(CARRIER).unique().collect(engine="streaming")
    frames = []
    bounds = _bounds(calls)
    for number, (first, last) in enumerate(pairwise(bounds)):
        reaching = (pl.col("ts") < last) & (pl.col("end") >= first)
        part = calls.filter(reaching) if len(bounds) > 2 else calls
        frame = _marked(part.collect(engine="streaming"), moving, scope).filter(pl.col("ts") >= first)
        if traces.spill is None:
            frames.append(frame.lazy())
        else:
            file = traces.spill / f"{scope}-{number:06}.parquet.nested"
            frame.write_parquet(file, compression="lz4")
            frames.append(pl.scan_parquet(file))
    return pl.concat(frames)


def rank() -> pl.Expr:
    """A number that is smaller the higher the layer of a call's category is."""
    ranks = {name: position for position, name in enumerate(LAYERS)}
    return pl.col("category").cast(pl.String).replace_strict(ranks, default=-1, return_dtype=pl.Int64).alias("rank")


def runs(traces: Traces) -> list[int]:
    """Of each file the position of the first file of its run."""
    first: dict[object, int] = {}
    keys = [run_key(trace) if trace.run.get("run_id") else position for position, trace in enumerate(traces.files)]
    return [first.setdefault(key, position) for position, key in enumerate(keys)]


# Moments between which there are about WINDOW_ROWS beginnings; calls that begin in one microsecond stay together.
def _bounds(calls: pl.LazyFrame) -> list[int]:
    begin = pl.col("ts")
    first, last, count = calls.select(begin.min(), begin.max().alias("last"), pl.len()).collect().row(0)
    if count <= WINDOW_ROWS:
        return [-(1 << 63), (1 << 63) - 1]
    width = max((last - first) // BINS, 1)
    bins = calls.group_by(((begin - first) // width).alias("bin")).len().sort("bin").collect(engine="streaming")
    bounds, rows = [-(1 << 63)], 0
    for number, here in bins.iter_rows():
        if rows and rows + here > WINDOW_ROWS:
            bounds.append(first + number * width)
            rows = 0
        rows += here
    return [*bounds, (1 << 63) - 1]


def _marked(calls: pl.DataFrame, moving: pl.DataFrame, scope: str) -> pl.DataFrame:
    shared = SCOPES[scope]
    group = pl.col(shared).to_physical().fill_null(NO_WORD) if shared else pl.lit(0, pl.UInt32)
    calls = calls.with_columns(rank(), group.alias("group"))
    order = [*THREAD, "group", "ts", "end", "rank", "order"]
    calls = calls.sort(order, descending=[key == "end" for key in order])
    calls = calls.with_columns((pl.Series(_inside(calls)) | pl.col("kernel")).alias("within"))
    if scope == "layer":
        own = calls.with_columns(pl.when(~pl.col("within")).then("bytes").alias("own_bytes"))
    else:
        # What reaches a file while a layer flushes or closes it is what that layer's own calls moved before.
        carriers = calls.join(moving, on=CARRIER, how="semi", nulls_equal=True, maintain_order="left")
        covered = pl.Series(_inside(carriers)) | pl.col("kernel")
        bytes_of = carriers.select("order", pl.when(~covered).then("bytes").alias("own_bytes"))
        own = calls.join(bytes_of, on="order", how="left")
    return own.drop("end", "rank", "kernel", "group")


class Intervals(NamedTuple):
    """Calls in the order of their groups, their beginnings, the longer first, the higher layer first, and of the file.

    Moments are small numbers, so that ``base``, which is the group's, makes those of all groups one order.
    """

    base: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    rank: NDArray[np.int64]
    order: NDArray[np.int64]


# Whether each call is inside another of its thread and group.
def _inside(calls: pl.DataFrame) -> NDArray[np.bool_]:
    if calls.is_empty():
        return np.zeros(0, np.bool_)
    begin, end, rank, order = (calls[key].to_numpy() for key in ("ts", "end", "rank", "order"))
    keys = [calls[key].to_numpy() for key in (*THREAD, "group")]
    new = np.ones(len(calls), np.bool_)
    new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    moments = np.unique(np.concatenate([begin, end]))
    begin, end = np.searchsorted(moments, begin), np.searchsorted(moments, end)
    base = (np.cumsum(new) - 1) * (len(moments) + 1)
    furthest = np.full(len(calls), -1, np.int64)  # end of the calls before
    furthest[1:] = np.maximum.accumulate(base + end)[:-1]
    furthest -= base
    inside: NDArray[np.bool_] = furthest >= end
    instant = begin == end
    if instant.any():
        found = instants_inside(Intervals(base, begin, end, rank, order), furthest)
        inside[instant] = found[instant]
    return inside


def instants_inside(calls: Intervals, furthest: NDArray[np.int64]) -> NDArray[np.bool_]:
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
