"""Of each call the one that it was made in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.depths import enclosing
from datacrumbs.report.nesting import AlikeRows, library, rank
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
    ranks = (rank() + 1).cast(pl.UInt8)
    rows = calls.select(*thread, "ts", end_of_call(), "order", "depth", ranks)
    threads = AlikeRows([rows[key].to_numpy() for key in thread])
    group = threads.in_order()[threads.numbers]
    numbers = [np.ascontiguousarray(rows[key].to_numpy(), np.int64) for key in ("ts", "end", "order")]
    deep = rows["depth"].is_not_null().to_numpy()
    layer = np.where(deep, rows["depth"].fill_null(0).clip(0, LAST_RANK).to_numpy(), rows["rank"].to_numpy())
    layer = layer.astype(np.uint8)
    inside, sequence, above = np.empty(len(rows), np.uint8), *(np.empty(len(rows), np.uint32) for _ in range(2))
    places = [array.ctypes.data for array in (*numbers, layer, inside, sequence, above)]
    if library().dc_parents(len(rows), group.ctypes.data, threads.count, *places):
        raise MemoryError("no memory for the order of calls")
    place = np.empty(len(rows), np.int64)
    place[sequence] = np.arange(len(rows))
    parent = np.where(above[sequence] == sequence, NONE, place[above[sequence]])
    parent = _without_higher_layers(parent, layer[sequence])
    around = enclosing(rows, group)[sequence]
    parent = np.where(deep[sequence], np.where(around < 0, NONE, place[around]), parent)
    return calls[sequence].with_columns(pl.Series("parent", parent))


def _without_higher_layers(parent: Numbers, ranks: NDArray[np.uint8]) -> Numbers:
    while True:
        wrong = (parent >= 0) & (ranks[parent] > ranks)
        if not wrong.any():
            return parent
        parent[wrong] = parent[parent[wrong]]
