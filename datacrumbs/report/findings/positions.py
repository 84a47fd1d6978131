"""Where in its file each read and write began: from explicit offsets, and from open, lseek and results in between.

A descriptor's position is known from the open or the lseek on. It is not known where another process or another
descriptor may have moved it, too: after dup, for descriptors that were inherited or handed over, and for all of a
file's descriptors that were open when such a one was used. Then nothing is guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datacrumbs.report.alike_rows import AlikeRows, sequence
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

APPEND = 0o2000
"""The flag of open(2) with which each write goes to the file's end."""
PATTERNS = ("first", "consecutive", "sequential", "random")
"""Beside the last request of its kind on the descriptor: none, immediately behind it, further on, before its end."""
KINDS = ("read", "write", "open", "close", "seek", "sync", "metadata", "dup", "takes")
"""What calls do to files: ``takes`` moves data and positions in ways that are not seen, as sendfile does."""
READ, WRITE, OPEN, CLOSE, SEEK, _, _, DUP, TAKES = range(len(KINDS))
UNKNOWN = -1
_USED = ("process", "tid", "kind", "ts", "dur", "ret", "bytes", "fd", "offset", "flags", "path_number", "order")


class _Rows(NamedTuple):
    # In the order of descriptors and times; what one descriptor number meant between two opens is a session.
    kind: NDArray[np.uint8]
    explicit: Flags
    ret: Numbers
    moved: Numbers
    session: Numbers
    path: Numbers


def with_positions(requests: pl.DataFrame) -> pl.DataFrame:
    """Add the columns ``position`` and ``pattern``, null where they are not known.

    Args:
        requests: With process, tid, kind (of `KINDS`), ts, dur, ret, errno, bytes, fd, offset, flags, path_number,
            order.
    """
    rows = _by_descriptor(requests)
    if rows.is_empty():
        unknown = (pl.lit(None, pl.Int64).alias("position"), pl.lit(None, pl.String).alias("pattern"))
        return requests.with_columns(*unknown)
    found = _arrays(rows)
    shared = _shared(rows, found)
    appends = _appends(rows, found)
    position = _positions(found, shared, rows, appends)
    pattern = np.where(appends, PATTERNS.index("consecutive"), _patterns(found, position))
    placed = rows.select("order", "kind").with_columns(
        pl.Series("position", position).replace({UNKNOWN: None}),
        pl.Series("pattern", pattern).replace_strict(dict(enumerate(PATTERNS)), default=None, return_dtype=pl.String),
    )
    placed = placed.filter(pl.col("kind").is_in(["read", "write"])).drop("kind")
    return requests.join(placed, on="order", how="left", maintain_order="left")


# Calls that succeeded, once for each descriptor that they are about.
def _by_descriptor(requests: pl.DataFrame) -> pl.DataFrame:
    done = requests.lazy().filter(pl.col("errno").is_null() & (pl.col("ret") >= 0)).select(_USED)
    made = pl.col("kind").is_in(["open", "dup"])
    new = done.filter(made).with_columns(pl.col("ret").cast(pl.Int32).alias("fd"))
    old = done.filter((pl.col("kind") != "open") & pl.col("fd").is_not_null() & (pl.col("fd") >= 0))
    rows = pl.concat([new, old]).collect()
    descriptor = AlikeRows([rows[name].to_numpy() for name in ("process", "fd")])
    group = descriptor.in_order()[descriptor.numbers]
    return rows[sequence(rows["ts"].to_numpy(), group, descriptor.count, rows["order"].to_numpy())]


def _arrays(rows: pl.DataFrame) -> _Rows:
    kind = rows["kind"].to_physical().to_numpy()
    process, fd = rows["process"].to_numpy(), rows["fd"].to_numpy()
    new = np.ones(len(rows), np.bool_)
    new[1:] = (process[1:] != process[:-1]) | (fd[1:] != fd[:-1])
    explicit = rows["offset"].is_not_null().to_numpy() & np.isin(kind, [READ, WRITE])
    moved = rows["bytes"].fill_null(0).to_numpy()
    session = np.cumsum(new | np.isin(kind, [OPEN, DUP])) - 1
    return _Rows(kind, explicit, rows["ret"].to_numpy(), moved, session, rows["path_number"].to_numpy())


# Of each session whether others may move its position.
def _shared(rows: pl.DataFrame, found: _Rows) -> Flags:
    count = int(found.session[-1]) + 1
    first = np.searchsorted(found.session, np.arange(count))
    moves = np.isin(found.kind, [READ, WRITE, SEEK]) & ~found.explicit
    shared: Flags = np.asarray(found.kind[first] != OPEN)
    # A call on another file than that which was opened: the number has come to mean something else.
    other = moves & (found.path != found.path[first][found.session])
    shared[found.session[other | (found.kind == DUP)]] = True
    begin = rows["ts"].to_numpy()
    orphan = moves & shared[found.session]
    if orphan.any():
        paths, number = np.unique(found.path, return_inverse=True)
        last = np.full(len(paths), -1, np.int64)
        np.maximum.at(last, number[orphan], begin[orphan])
        shared |= begin[first] <= last[number[first]]
    shared[found.session[moves][_overlapping(rows.filter(pl.Series(moves)), found.session[moves])]] = True
    return shared


# Calls of two threads on one descriptor at a time: which came first is not known.
def _overlapping(rows: pl.DataFrame, session: Numbers) -> Flags:
    result = np.zeros(len(rows), np.bool_)
    if len(rows) > 1:
        begin, tid = rows["ts"].to_numpy(), rows["tid"].to_numpy()
        end = begin + np.maximum(rows["dur"].to_numpy(), 0)
        beside = (session[1:] == session[:-1]) & (tid[1:] != tid[:-1])
        result[1:] = beside & (begin[1:] < end[:-1])
    return result


# Writes that the kernel puts at the file's end, wherever that is.
def _appends(rows: pl.DataFrame, found: _Rows) -> Flags:
    flags = rows["flags"].fill_null(0).to_numpy()
    first = np.searchsorted(found.session, found.session)
    opened = (found.kind[first] == OPEN) & ((flags[first] & APPEND) != 0)
    appends: Flags = (found.kind == WRITE) & ~found.explicit & opened
    return appends


def _positions(found: _Rows, shared: Flags, rows: pl.DataFrame, appends: Flags) -> Numbers:
    moves = np.isin(found.kind, [READ, WRITE]) & ~found.explicit
    moved = np.where(moves, found.moved, 0)
    before = np.cumsum(moved) - moved
    is_open, seek = found.kind == OPEN, found.kind == SEEK
    start = np.ones(len(moved), np.bool_)
    start[1:] = found.session[1:] != found.session[:-1]
    reset = start | is_open | seek | appends | np.isin(found.kind, [DUP, TAKES, CLOSE])
    value = np.where(is_open, 0, np.where(seek, found.ret, UNKNOWN))
    last = np.maximum.accumulate(np.where(reset, np.arange(len(moved)), -1))
    known = (value[last] >= 0) & ~shared[found.session]
    position = np.where(known & moves & ~appends, value[last] + before - before[last], UNKNOWN)
    return np.where(found.explicit, rows["offset"].fill_null(UNKNOWN).to_numpy(), position)


def _patterns(found: _Rows, position: Numbers) -> NDArray[np.int8]:
    pattern = np.full(len(position), -1, np.int8)
    for kind in (READ, WRITE):
        rows = np.flatnonzero((found.kind == kind) & (position != UNKNOWN))
        if not len(rows):
            continue
        begin, end, session = position[rows], (position + found.moved)[rows], found.session[rows]
        follows = np.zeros(len(rows), np.bool_)
        follows[1:] = session[1:] == session[:-1]
        gap = np.zeros(len(rows), np.int64)
        gap[1:] = begin[1:] - end[:-1]
        pattern[rows] = np.where(~follows, 0, np.where(gap == 0, 1, np.where(gap > 0, 2, 3)))
    return pattern
