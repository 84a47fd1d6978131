"""Calls added up by what distinguishes rows, some at a time, so that memory holds rows and not calls."""

from __future__ import annotations

from ctypes import c_void_p
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.alike_rows import AlikeRows, library
from datacrumbs.trace.columns import NO_NUMBER, WORD
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 1 << 17
"""Calls that are added up at once: some times as many wait in memory."""
MOST_SUMS = 1 << 18
"""Rows of sums that wait to be put together."""
_FLAGS = ("failed", "sized", "opening", "waiting")
_SUMS = ("calls", "failed", "sized", "moved", "movers", "opened", "waited", "took", "longest", "begin", "end")
_MEASURES = ("failed", "sized", "own_bytes", "opening", "waiting", "dur", "ts", "end")
"""In the order of C's, as the sums."""


def row_sums(calls: pl.LazyFrame, by: Sequence[str]) -> pl.DataFrame:
    """One row for each combination of values that calls have.

    Args:
        calls: With the columns of `outermost` and of `views.of_view`.
        by: Columns of whole numbers, truth values, categories or texts.

    Returns:
        The columns ``by``, then calls (their number), failed, sized (whether the bytes of any are known), moved (bytes
        that count), moves (whether any do), movers (how many), opened, waited (us), took (us), longest (us), begin
        (epoch us, of the first) and end (of the last).
    """
    kinds = calls.select(by).collect_schema()
    of_call = {"failed": pl.col("errno").is_not_null(), "sized": pl.col("bytes").is_not_null()}
    flags = (of_call.get(name, pl.col(name)).cast(pl.UInt8).alias(name) for name in _FLAGS)
    keys = (_number(name, kind) for name, kind in kinds.items())
    numbers = calls.select(*keys, *flags, pl.col("own_bytes").fill_null(-1), "dur", "ts", "end")
    parts, rows = [_summed(numbers.clear().collect(), by)], 0
    for batch in numbers.collect_batches(chunk_size=ROWS, maintain_order=False, engine="streaming"):
        parts.append(_summed(batch, by))
        rows += len(parts[-1])
        if rows > MOST_SUMS:
            parts, rows = [_together(parts, by)], 0
    moves = [(pl.col("movers") > 0).alias("moves"), pl.col("sized") > 0]
    return _together(parts, by).with_columns(*moves, *(_value(name, kind) for name, kind in kinds.items()))


def _number(name: str, kind: pl.DataType) -> pl.Expr:
    is_word = kind in {WORD, pl.String}
    number = pl.col(name).cast(WORD).to_physical() if is_word else pl.col(name)
    return number.cast(pl.Int64).fill_null(NO_NUMBER)


def _value(name: str, kind: pl.DataType) -> pl.Expr:
    value = pl.when(pl.col(name) != NO_NUMBER).then(name)
    is_word = kind in {WORD, pl.String}
    return (value.cast(pl.UInt32).cat.to(WORD) if is_word else value).cast(kind).alias(name)


def _summed(calls: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    alike = AlikeRows([calls[name].to_numpy() for name in by])
    sums = np.zeros((alike.count, len(_SUMS)), np.int64)
    columns = [np.ascontiguousarray(calls[name].to_numpy()) for name in _MEASURES]
    places = (c_void_p * len(columns))(*(column.ctypes.data for column in columns))
    library().dc_sum_rows(len(calls), alike.numbers.ctypes.data, places, sums.ctypes.data)
    keys = zip(by, alike.columns(), strict=True)
    return pl.DataFrame(dict(keys) | dict(zip(_SUMS, sums.T, strict=True)))


def _together(parts: Sequence[pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
    extremes = pl.col("longest").max(), pl.col("begin").min(), pl.col("end").max()
    return pl.concat(parts).group_by(by).agg(pl.col(_SUMS[:8]).sum(), *extremes)
