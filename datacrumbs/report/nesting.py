"""Which calls are inside others, so that sums over several functions count each byte and microsecond once.

Lines of our own say how deep a call was, which `depths` turns into the calls around it. In other traces a call is
inside another one of its thread when it is within that one's interval. Lines have whole microseconds, so what begins
or ends in the same microsecond is decided by what else is known:

* A call that takes time is inside whatever covers it. Of two calls with the same interval, the one of the higher layer
  is outside, else the one that stands first in the file.
* A call of no whole microsecond is inside a call of a higher layer that covers it, ends included. Within a layer it
  is inside a call that began before its microsecond and ends after it. Beside a call that begins in the same
  microsecond it is inside when it stands behind it: of calls of a thread that begin in one microsecond, the
  trace has the outer one first.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.layers import LAYERS
from datacrumbs.report.alike_rows import AlikeRows, library
from datacrumbs.report.depths import enclosing, within
from datacrumbs.report.time_partitions import EARLIEST, LATEST, time_partitions
from datacrumbs.trace.columns import WORD, by_code
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.reader import run_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from datacrumbs.report.time_partitions import TimePartition
    from datacrumbs.trace.reader import Traces

    Near = Callable[[int, int, Collection[int] | None], pl.LazyFrame]
    Scope = tuple[str | None, NDArray[np.bool_] | None]

INSIDE_KERNEL = ("VFS", "PAGECACHE", "EXT4", "XFS", "KERNEL", "BLOCK")
"""Categories of what serves the calls of the others, also when the thread that caused it has gone on."""
THREAD = ("run", "pid", "tid")
CARRIER = ["process", "layer_file"]
"""A layer's calls of a process on a file: where some move bytes, these count, and not those of calls inside any."""
SCOPES: dict[str, str | None] = {"layer": "category", "file": "fhash", "process": None}
"""What is added up -> the column that its calls have in common, besides their thread."""
NO_WORD = (1 << 32) - 1
SECOND_FILE = 1 << 48
"""Above the number of any line: added to it where the line is taken for its second file."""
WITHIN, OWN = 1, 2
"""What a call is marked with for a scope: it is inside another one, and its bytes count."""
BITS = 2
"""Of a mark, for each scope."""
WINDOW_ROWS = 250_000
"""So that what is looked up of calls, in the order of their threads, is in the cache of the processor."""
MOST_THREADS = 4


def outermost(traces: Traces, calls: pl.LazyFrame, scope: str) -> pl.LazyFrame:
    """Calls, and how each counts in the sums of a scope; see `Nesting`."""
    return Nesting(traces, calls, [scope]).outermost(scope)


class Nesting:
    """Which calls are inside others, for several scopes at once.

    Calls are taken a partition of time at once, together with the earlier calls that reach into it, and what is kept of
    each is a byte, so that the memory that this takes grows little with the trace. It is done when it is first asked
    for.

    Args:
        traces: Where the calls come from.
        calls: Those that a report is about.
        scopes: What is added up, of `SCOPES`: the calls of a layer, on a file, or of a process.
        near: Gives those of the calls that end at or after a moment and begin before another one, of some files (their
            positions) or of all, perhaps with others; None where there is no quicker way than to look at all.
    """

    def __init__(self, traces: Traces, calls: pl.LazyFrame, scopes: Iterable[str], near: Near | None = None) -> None:
        self._traces = traces
        self._calls = with_runs(traces, calls)
        self._near = near or every(calls)
        self.scopes = tuple(dict.fromkeys(scopes))

    @cached_property
    def partitions(self) -> list[TimePartition]:
        """Of time, each with calls that fit into memory."""
        return list(self._partitions(None))

    @cached_property
    def _marking(self) -> _Marking:
        marking = _Marking(self._traces, self._calls, self.scopes)
        windows = ((files, part) for files in self._some_runs() for part in self._partitions(files))

        def look(window: tuple[list[int] | None, TimePartition]) -> None:
            files, part = window
            marking.look(with_runs(self._traces, self._of(part.begin, part.end, files)), part)

        with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), MOST_THREADS)) as pool:
            list(pool.map(look, windows))
        return marking

    def _partitions(self, files: list[int] | None) -> Iterator[TimePartition]:
        return time_partitions(self._of(EARLIEST, LATEST, files), WINDOW_ROWS)

    # Of these files alone, or of all.
    def _of(self, begin: int, end: int, files: list[int] | None) -> pl.LazyFrame:
        near = self._near(begin, end, files)
        return near if files is None else near.filter(pl.col("trace").is_in(files))

    # The files of some runs, or None for all: together as many runs as fit into one window. No call is inside one of
    # another run, and runs that go on at the same time are far from each other where calls are kept.
    def _some_runs(self) -> Iterator[list[int] | None]:
        firsts = runs(self._traces)
        if len(set(firsts)) < 2:
            yield None
            return
        calls_of = Counter[int]()
        for file, calls in self._calls.group_by("trace").len().collect(engine="streaming").iter_rows():
            calls_of[firsts[file]] += calls
        together: list[list[int]] = []
        room = 0
        for run, calls in sorted(calls_of.items()):
            if calls > room:
                together.append([])
                room = WINDOW_ROWS
            together[-1].append(run)
            room -= calls
        for some in together:
            yield [file for file, run in enumerate(firsts) if some[0] <= run <= some[-1]]

    def outermost(self, scope: str, calls: pl.LazyFrame | None = None) -> pl.LazyFrame:
        """Calls, and how each counts in the sums of a scope.

        Args:
            scope: One of those that were named.
            calls: Some of the calls, with whatever columns they have; None for all. For the scope ``file``, all or none
                of those on a file.

        Returns:
            The calls with the columns ``run`` (the position of the run's first file), ``within`` (it is inside another
            call of the scope and its thread), and ``own_bytes`` (its bytes, or null where those of another call include
            them).
        """
        calls = self._calls if calls is None else with_runs(self._traces, calls)
        return self._marking.marked(calls, scope)

    def near(self, scope: str, begin: int, end: int, files: Collection[int] | None) -> pl.LazyFrame:
        """The same of those in an interval and of some files, or of all, perhaps with others."""
        return self.outermost(scope, self._near(begin, end, files))


def every(calls: pl.LazyFrame) -> Near:
    """What gives all calls, where there is no quicker way to those that reach into an interval."""
    return lambda _begin, _end, _files: calls


def rank() -> pl.Expr:
    """A number that is smaller the higher the layer of a call's category is."""
    return pl.col("category").map_batches(_ranks_of, return_dtype=pl.Int64, is_elementwise=True).alias("rank")


def _ranks_of(categories: pl.Series) -> pl.Series:
    words = pl.Series(list(LAYERS), dtype=WORD)
    return by_code(words, pl.int_range(len(words), eager=True), categories.cast(WORD)).fill_null(-1)


def runs(traces: Traces) -> list[int]:
    """Of each file the position of the first file of its run."""
    first: dict[object, int] = {}
    keys = [run_key(trace) if trace.run.get("run_id") else position for position, trace in enumerate(traces.files)]
    return [first.setdefault(key, position) for position, key in enumerate(keys)]


def with_runs(traces: Traces, calls: pl.LazyFrame) -> pl.LazyFrame:
    """Calls with the column ``run``: the position of the first file of each call's run."""
    firsts = runs(traces)
    if len(firsts) < 2:  # which spares looking at each call
        return calls.with_columns(pl.lit(0, pl.Int64).alias("run"))
    run = pl.col("trace").cast(pl.Int64).replace_strict(dict(enumerate(firsts)), return_dtype=pl.Int64)
    return calls.with_columns(run.alias("run"))


def from_the_top(categories: Iterable[str]) -> list[str]:
    """Categories from the application down; those that `LAYERS` does not have come first, by their names."""
    order = {category: position for position, category in enumerate(LAYERS)}
    return sorted(categories, key=lambda category: (order.get(category, -1), category))


class _Marks:
    # A byte for each line, and for each that is taken for its second file, with a bit for each thing that is said.
    def __init__(self, lines: int, copies: int) -> None:
        self._bytes = [np.zeros(count, np.uint8) for count in (lines, copies)]

    def put(self, order: NDArray[np.int64], marks: NDArray[np.uint8]) -> None:
        is_copy = order >= SECOND_FILE
        self._bytes[0][order[~is_copy]] = marks[~is_copy]
        self._bytes[1][order[is_copy] - SECOND_FILE] = marks[is_copy]

    def expression(self) -> pl.Expr:
        def of(orders: pl.Series) -> pl.Series:
            return pl.Series(orders.name, self._of(orders.to_numpy()))

        return pl.col("order").map_batches(of, return_dtype=pl.UInt8, is_elementwise=True)

    def _of(self, order: NDArray[np.int64]) -> NDArray[np.uint8]:
        if not len(self._bytes[1]):
            return self._bytes[0][order]
        is_copy = order >= SECOND_FILE
        marks = np.empty(len(order), np.uint8)
        marks[~is_copy] = self._bytes[0][order[~is_copy]]
        marks[is_copy] = self._bytes[1][order[is_copy] - SECOND_FILE]
        return marks


class _Marking:
    # Finds which calls are inside others, a window at a time.
    def __init__(self, traces: Traces, calls: pl.LazyFrame, scopes: Sequence[str]) -> None:
        self._scopes = scopes
        self._marks = _Marks(traces.count, traces.count if traces.copies else 0)
        codes, self._names = _categories(calls)
        order_of = {name: position for position, name in enumerate(LAYERS, start=1)}
        self._ranks = np.zeros(max(codes, default=0) + 1, np.uint8)
        self._ranks[codes] = [order_of.get(name, 0) for name in self._names]
        run, pid, tid = (pl.col(key).cast(pl.Int64).to_physical() for key in THREAD)
        category, file = (
            pl.col(key).cast(WORD).to_physical().fill_null(NO_WORD).cast(pl.Int64) for key in ("category", "fhash")
        )
        # Each has 32 bits, so that two are one number: fewer are to be compared.
        pairs = zip(CARRIER, ((run, pid), (category, file)), strict=True)
        carrier = [(first * (1 << 32) + second).alias(name) for name, (first, second) in pairs]
        moved = (pl.col("bytes") > 0).fill_null(value=False).alias("moved")
        self._columns = [run, pid, tid, category, file, *carrier, "ts", "end", "order", "depth", moved]
        self._moving: AlikeRows | None = None
        if any(scope != "layer" for scope in scopes):
            # As they are kept, which is narrower than as numbers.
            carriers = calls.filter(moved).select("run", "pid", "category", "fhash").unique()
            moving = carriers.collect(engine="streaming").select(carrier)
            self._moving = AlikeRows([moving[key].to_numpy() for key in CARRIER])

    # With the column ``run``.
    def look(self, near: pl.LazyFrame, part: TimePartition) -> None:
        reaching = near.filter(pl.col("ts") < part.end, pl.col("end") >= part.begin)
        calls = reaching.select(self._columns).collect(engine="streaming")
        # What reaches a file while a layer flushes or closes it is what that layer's own calls moved before.
        moving = self._moving
        wanted = None if moving is None else moving.has([calls[key].to_numpy() for key in CARRIER])
        scopes = [(SCOPES[scope], None if scope == "layer" else wanted) for scope in self._scopes]
        marks = np.zeros(len(calls), np.uint8)
        for place, (inside, own) in enumerate(_inside(calls, scopes, self._ranks[calls["category"].to_numpy()])):
            marks |= ((inside * WITHIN | own * OWN) << (BITS * place)).astype(np.uint8)
        here = calls["ts"].to_numpy() >= part.begin
        self._marks.put(calls["order"].to_numpy()[here], marks[here])

    def marked(self, calls: pl.LazyFrame, scope: str) -> pl.LazyFrame:
        shift = BITS * self._scopes.index(scope)
        within, own = ((pl.col("mark") & pl.lit(bit << shift, pl.UInt8)) != 0 for bit in (WITHIN, OWN))
        if scope != "layer" and (served := self._served_runs(calls)):
            caused = pl.col("category").cast(pl.String).is_in(INSIDE_KERNEL) & pl.col("run").is_in(served)
            within, own = within | caused, own & ~caused
        counting = [within.alias("within"), pl.when(own).then("bytes").alias("own_bytes")]
        return calls.with_columns(self._marks.expression().alias("mark")).with_columns(counting).drop("mark")

    # The runs in which some of the calls may serve others of them.
    def _served_runs(self, calls: pl.LazyFrame) -> list[int]:
        if not set(INSIDE_KERNEL) & set(self._names):
            return []
        found = calls.select("run", pl.col("category").cast(WORD)).unique().collect(engine="streaming")
        return found.filter(~pl.col("category").cast(pl.String).is_in(INSIDE_KERNEL))["run"].unique().to_list()


# The categories that there are: their codes and names.
def _categories(calls: pl.LazyFrame) -> tuple[list[int], list[str]]:
    found = calls.select(pl.col("category").cast(WORD).unique()).collect(engine="streaming").to_series()
    return found.to_physical().to_list(), found.cast(pl.String).to_list()


# For each scope, its shared column and the calls that may carry its bytes (None for those inside no other): whether
# each call is inside another of its thread with the same value of that column, and whether its bytes count.
def _inside(
    calls: pl.DataFrame, scopes: Sequence[Scope], rank: NDArray[np.uint8]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    deep = calls["depth"].is_not_null().to_numpy()
    found = [(np.zeros(len(calls), np.bool_), np.zeros(len(calls), np.bool_)) for _ in scopes]
    for rows, find in ((deep, _inside_by_depth), (~deep, _inside_by_time)):
        if rows.all():
            found = find(calls, scopes, rank)
            break
        if rows.any():
            some = [(shared, None if wanted is None else wanted[rows]) for shared, wanted in scopes]
            for whole, part in zip(found, find(calls.filter(pl.Series(rows)), some, rank[rows]), strict=True):
                whole[0][rows], whole[1][rows] = part
    carried = zip(scopes, found, strict=True)
    return [(inside, ~inside if wanted is None else wanted & ~covered) for (_, wanted), (inside, covered) in carried]


def _inside_by_depth(
    calls: pl.DataFrame, scopes: Sequence[Scope], _: NDArray[np.uint8]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    thread = AlikeRows([calls[key].to_numpy() for key in THREAD])
    parents = _beside_originals(calls, enclosing(calls, thread.numbers))
    found = []
    for shared, wanted in scopes:
        group = np.ascontiguousarray(calls[shared].to_numpy(), np.int64) if shared else None
        inside, covered = within(parents, group, wanted)
        found.append((inside, inside if wanted is None else wanted & covered))
    return found


def _inside_by_time(
    calls: pl.DataFrame, scopes: Sequence[Scope], rank: NDArray[np.uint8]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    return [inside_by_time(calls, shared, rank, wanted) for shared, wanted in scopes]


# A line that is taken for its second file, too, is in the place of one call: what is inside either is inside both.
def _beside_originals(calls: pl.DataFrame, parents: NDArray[np.int64]) -> NDArray[np.int64]:
    order = calls["order"].to_numpy().astype(np.int64)
    copies = np.flatnonzero(order >= SECOND_FILE)
    if len(copies):
        by_order = np.argsort(order, kind="stable")
        found = by_order[np.searchsorted(order[by_order], order[copies] - SECOND_FILE)]
        there = order[found] == order[copies] - SECOND_FILE
        parents[copies[there]] = found[there]
    return parents


def inside_by_time(
    calls: pl.DataFrame, shared: str | None, rank: NDArray[np.uint8], wanted: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which calls are inside another of the same thread, by their times alone; for traces whose lines have no depth.

    Args:
        calls: n of them, with ``ts``, ``end`` (microseconds) and ``order``.
        shared: A column in which inner and outer call have to agree, too.
        rank: Of each call's layer; n.
        wanted: Those that may be the outer ones; n, or None for all.

    Returns:
        Two arrays of n: inside any call, and inside a wanted one.

    Raises:
        MemoryError: There is no room for the order of the calls.
    """
    keys = [*THREAD, *([shared] if shared else [])]
    group = AlikeRows([calls[key].to_numpy() for key in keys])
    numbers = [np.ascontiguousarray(calls[key].to_numpy(), np.int64) for key in ("ts", "end", "order")]
    inside = np.zeros(len(calls), np.uint8)
    places = [*(array.ctypes.data for array in numbers), rank.ctypes.data]
    places += [0 if wanted is None else wanted.ctypes.data, inside.ctypes.data]
    if library().dc_nest(len(calls), group.numbers.ctypes.data, group.count, *places):
        raise MemoryError("no memory for the order of calls")
    return (inside & 1).astype(np.bool_), (inside & 2).astype(np.bool_)
