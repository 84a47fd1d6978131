"""Of each call the one that it was made in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.alike_rows import AlikeRows, library, sequence
from datacrumbs.report.depths import enclosing
from datacrumbs.report.nesting import rank
from datacrumbs.trace.call_store import end_of_call
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

NONE = -1
LAST_RANK = 63


def with_parents(calls: pl.DataFrame, thread: tuple[str, ...]) -> pl.DataFrame:
    """Calls in the order of their threads and beginnings, the outer ones first.

    What is inside what is decided as in `datacrumbs.report.nesting`; further, where lines do not say how deep calls
    were, no call is inside one of a lower layer.

    Args:
        calls: With ts, dur, category, order and depth.
        thread: Columns that tell threads apart.

    Returns:
        The calls with ``parent``: the row of the call that each is directly inside of, or -1.
    """
    found = Parents(calls, thread)
    rows = found.sequence()
    place = np.empty(len(calls), np.int64)
    place[rows] = np.arange(len(calls))
    around = found.rows()[rows]
    return calls[rows].with_columns(pl.Series("parent", np.where(around < 0, NONE, place[around])))


class Parents:
    """Of calls what each is directly inside of, as `with_parents` has it, and in which order that has them.

    Args:
        calls: With ts, dur, category, order and depth.
        thread: Columns that tell threads apart.
    """

    def __init__(self, calls: pl.DataFrame, thread: tuple[str, ...]) -> None:
        ranks = (rank() + 1).cast(pl.UInt8)
        self._calls = calls.select(*thread, "ts", end_of_call(), "order", "depth", ranks)
        threads = AlikeRows([self._calls[key].to_numpy() for key in thread])
        self._group, self._groups = threads.in_order()[threads.numbers], threads.count
        self._numbers = [np.ascontiguousarray(self._calls[key].to_numpy(), np.int64) for key in ("ts", "end", "order")]
        self._deep = self._calls["depth"].is_not_null().to_numpy()
        depth = self._calls["depth"].fill_null(0).clip(0, LAST_RANK).to_numpy()
        self._layer = np.where(self._deep, depth, self._calls["rank"].to_numpy()).astype(np.uint8)

    def sequence(self) -> NDArray[np.uint32]:
        """Rows in the order of their threads and beginnings, the outer ones first."""
        begin, end, order = self._numbers
        return sequence(begin, self._group, self._groups, order, end=end, layer=self._layer)

    def rows(self) -> Numbers:
        """Of each call, in the order in which they were given, the row of the one that it is inside of, or `NONE`."""
        around = enclosing(self._calls, self._group)
        if not self._deep.all():
            around = np.where(self._deep, around, self._by_time())
        return around

    def _columns(self) -> list[int]:
        return [*(array.ctypes.data for array in self._numbers), self._layer.ctypes.data]

    # Of each call the row of the one around it, by their times and layers.
    def _by_time(self) -> Numbers:
        inside, above = np.empty(len(self._group), np.uint8), np.empty(len(self._group), np.uint32)
        places = [*self._columns(), inside.ctypes.data, above.ctypes.data]
        if library().dc_parents(len(self._group), self._group.ctypes.data, self._groups, *places):
            raise MemoryError("no memory for the order of calls")
        parents = np.where(above == np.arange(len(self._group)), NONE, above.astype(np.int64))
        return _without_higher_layers(parents, self._layer)


def _without_higher_layers(parent: Numbers, ranks: NDArray[np.uint8]) -> Numbers:
    while True:
        wrong = (parent >= 0) & (ranks[parent] > ranks)
        if not wrong.any():
            return parent
        parent[wrong] = parent[parent[wrong]]
