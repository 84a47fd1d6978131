"""How long each layer worked: by itself, and in wall-clock time."""

from __future__ import annotations

import ctypes
from ctypes import c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.alike_rows import AlikeRows, sequence
from datacrumbs.report.nesting import THREAD, from_the_top
from datacrumbs.report.time_partitions import EARLIEST
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.lines import load_library

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from datacrumbs.report.nesting import Near
    from datacrumbs.report.time_partitions import TimePartition


@dataclass(frozen=True, slots=True)
class Busy:
    """Time of the calls that have lines.

    Attributes:
        own_us: By category: time in its calls during which no call of a lower layer was active, added up over threads.
        wall_us: By category: time during which at least one thread was in one of its calls.
        total_us: Time during which at least one thread was in any call.
        span_us: From the first call's beginning to the last one's end.
        first_us: The first call's beginning, epoch us.
    """

    own_us: dict[str, int]
    wall_us: dict[str, int]
    total_us: int = 0
    span_us: int = 0
    first_us: int = 0


def busy(marked: pl.LazyFrame, partitions: Iterable[TimePartition], near: Near) -> Busy:
    """Add up intervals, in the order of their beginnings and some at a time.

    A layer never contains a higher one. So what a thread spent in a layer itself is what it spent in that layer and
    those below it, less what it spent in those below it.

    Args:
        marked: Calls as `outermost` gives them for the scope ``layer``.
        partitions: Of time, in order, each with calls that fit into memory.
        near: Gives those of the calls that reach into an interval, perhaps with others.
    """
    begin, end = pl.col("ts"), pl.col("ts") + pl.max_horizontal("dur", 0)
    first, last = marked.select(begin.min(), end.max().alias("end")).collect(engine="streaming").row(0)
    if first is None:
        return Busy({}, {})
    counted = ~pl.col("within") & (pl.col("dur") > 0)
    names = _categories(marked.filter(counted))
    ranks = {category: position for position, category in enumerate(names)}
    layer = pl.col("category").cast(pl.String).replace_strict(ranks, return_dtype=pl.UInt32).alias("layer")
    columns = [pl.col(THREAD).cast(pl.Int64), begin, end.alias("end"), layer]
    covering = _Covering(len(names))
    for part in partitions:
        here = counted & (pl.col("ts") >= part.begin) & (pl.col("ts") < part.end)
        covering.add(near(part.begin, part.end, None).filter(here).select(columns).collect(engine="streaming"))
    below = [*covering.below.tolist(), 0]
    own = {name: below[position] - below[position + 1] for name, position in reversed(ranks.items())}
    *wall, total = covering.alone.tolist()
    return Busy(own, dict(zip(names, wall, strict=True)), total, last - first, first)


# Of the calls, from the application down.
def _categories(calls: pl.LazyFrame) -> list[str]:
    found = calls.select(pl.col("category").unique()).collect(engine="streaming").to_series()
    return from_the_top(found.cast(pl.String))


class _Covering:
    # Sums over calls of layers with numbers from the highest down, and up to where these calls reach.
    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._threads: dict[tuple[int, ...], int] = {}
        self._of_threads = np.empty((0, layers), np.int64)
        self._of_all = np.full(layers + 1, EARLIEST, np.int64)
        self.below, self.alone = np.zeros(layers, np.int64), np.zeros(layers + 1, np.int64)

    # None of the calls begins before one that was added earlier.
    def add(self, calls: pl.DataFrame) -> None:
        begin, end, layer = (np.ascontiguousarray(calls[name].to_numpy()) for name in ("ts", "end", "layer"))
        thread = self._threads_of(calls)
        inputs = (sequence(begin), begin, end, thread, layer)
        outputs = (self._of_threads, self._of_all, self.below, self.alone)
        places = [array.ctypes.data for array in inputs]
        _library().dc_cover(len(calls), *places, self._layers, *(array.ctypes.data for array in outputs))

    def _threads_of(self, calls: pl.DataFrame) -> NDArray[np.uint32]:
        found = AlikeRows([calls[name].to_numpy() for name in THREAD])
        numbers = [self._threads.setdefault(thread, len(self._threads)) for thread in found.distinct()]
        new = len(self._threads) - len(self._of_threads)
        self._of_threads = np.concatenate([self._of_threads, np.full((new, self._layers), EARLIEST, np.int64)])
        return np.array(numbers, np.uint32)[found.numbers]


@cache
def _library() -> ctypes.CDLL:
    library = load_library()
    library.dc_cover.restype = None
    library.dc_cover.argtypes = [c_uint64, *[c_void_p] * 5, c_uint32, *[c_void_p] * 4]
    return library
