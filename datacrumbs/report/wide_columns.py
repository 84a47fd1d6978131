"""Columns of wide tables that need a look at every call: time of calls themselves, and by the clock on the wall."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.report.exact_rows import named, numbers
from datacrumbs.report.exports.trees import own_time, processes
from datacrumbs.report.intervals import fresh
from datacrumbs.report.time_partitions import time_partitions
from datacrumbs.report.views import KEYS
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.trace.reader import Traces

ROWS = 1_000_000
"""Calls looked at together."""
CALLED = ("category", "name")
ONLY_WIDE = ("self_us", "wall_us", "share")
"""Keys that only `with_wide` adds."""


def with_wide(
    traces: Traces, rows: Sequence[dict[str, Any]], calls: pl.LazyFrame, marked: pl.LazyFrame, view: str
) -> list[dict[str, Any]]:
    """Rows with ``wall_us``, ``share`` and, of functions and layers, ``self_us``.

    Args:
        traces: Where the calls come from; each has a line.
        rows: Of `exact_rows`.
        calls: All that were selected.
        marked: Those that the rows count, with the columns of `outermost`.
        view: What a row is.
    """
    keys = KEYS[view]
    first, last = traces.calls.select(pl.col("ts").min(), pl.col("end").max()).collect(engine="streaming").row(0)
    walls = wall_times(traces, marked, keys, channels=view == "channel")
    selves = self_times(traces, calls, keys) if set(keys) <= set(CALLED) else None
    wide = []
    for row in rows:
        place = tuple(row[key] for key in keys)
        wall = walls.get(place, 0) if row["timed"] else None
        more = {"wall_us": wall, "share": None if wall is None else wall / max(last - first, 1)}
        wide.append(row | ({} if selves is None else {"self_us": selves.get(place, 0)}) | more)
    return wide


def self_times(traces: Traces, calls: pl.LazyFrame, keys: Sequence[str]) -> dict[tuple[Any, ...], int]:
    """Key -> time in its calls, nested ones too, without that in the calls directly inside them; microseconds."""
    found: dict[tuple[Any, ...], int] = defaultdict(int)
    for nested in processes(traces, calls):
        own = pl.Series("own", own_time(nested["parent"].to_numpy(), nested["dur"].clip(0).to_numpy()))
        sums = nested.select(pl.col(*keys).cast(pl.String), own).group_by(keys).agg(pl.col("own").sum())
        for *place, time in sums.iter_rows():
            found[tuple(place)] += time
    return found


def wall_times(traces: Traces, marked: pl.LazyFrame, keys: list[str], *, channels: bool) -> dict[tuple[Any, ...], int]:
    """Key -> time during which at least one of its calls was going on; microseconds."""
    timed = marked.filter(~pl.col("within"), pl.col("dur") > 0)
    places = timed.select(numbers(keys)).unique().collect(engine="streaming").with_row_index("place")
    texts = named(traces, places, keys, channels=channels).sort("place")
    rows = texts.select(keys).unique(maintain_order=True).with_row_index("row")
    row_of = texts.join(rows, on=keys, how="left", nulls_equal=True, maintain_order="left")["row"].to_numpy()
    reached, total = np.full(len(rows), -(1 << 62), np.int64), np.zeros(len(rows), np.int64)
    placed = timed.join(places.lazy(), on=numbers(keys), nulls_equal=True).select("place", "ts", "end")
    for part in time_partitions(timed, ROWS):
        calls = placed.filter(pl.col("ts") >= part.begin, pl.col("ts") < part.end).collect(engine="streaming")
        group, begin, end = row_of[calls["place"].to_numpy()], calls["ts"].to_numpy(), calls["end"].to_numpy()
        order = np.lexsort((begin, group))
        group, begin, end = group[order].astype(np.int64), begin[order], end[order]
        np.add.at(total, group, fresh(group, begin, end, reached))
        np.maximum.at(reached, group, end)
    return {tuple(row): int(time) for row, time in zip(rows.select(keys).iter_rows(), total, strict=True)}
