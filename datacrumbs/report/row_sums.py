"""Calls added up by what distinguishes rows, some at a time, so that memory holds rows and not calls."""

from __future__ import annotations

from ctypes import c_void_p
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.alike_rows import AlikeRows, library
from datacrumbs.trace.columns import NO_NUMBER, WORD
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROWS = 1 << 17
"""Calls that are added up at once: some times as many wait in memory."""
MOST_SUMS = 1 << 18
"""Rows of sums that wait to be put together, or as many as there are together where these are more."""
_FLAGS = ("failed", "sized", "opening", "waiting")
_SUMS = ("calls", "failed", "sized", "moved", "movers", "opened", "waited", "took", "longest", "begin", "end")
_MEASURES = ("failed", "sized", "own_bytes", "opening", "waiting", "dur", "ts", "end")
"""In the order of C's, as the sums."""


def sums_and_durations(
    calls: pl.LazyFrame, by: Sequence[str], spread: pl.Expr | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row for each combination of values that calls have, and how many of the calls took how long.

    Args:
        calls: With the columns of `outermost` and of `views.of_view`.
        by: Columns of whole numbers, truth values, categories or texts.
        spread: Of which calls durations are counted, a truth value; None for none.

    Returns:
        The columns ``by``, then calls (their number), failed, sized (whether the bytes of any are known), moved (bytes
        that count), moves (whether any do), movers (how many), opened, waited (us), took (us), longest (us), begin
        (epoch us, of the first) and end (of the last); and the columns ``by``, dur (us) and calls (their number).
    """
    kinds = calls.select(by).collect_schema()
    of_call = {"failed": pl.col("errno").is_not_null(), "sized": pl.col("bytes").is_not_null()}
    flags = (of_call.get(name, pl.col(name)).cast(pl.UInt8).alias(name) for name in _FLAGS)
    keys = [_number(name, kind) for name, kind in kinds.items()]
    looked_at = [] if spread is None else [spread.alias("spread")]
    numbers = calls.select(*keys, *flags, pl.col("own_bytes").fill_null(-1), "dur", "ts", "end", *looked_at)
    sums, durations = _Waiting(by, _together), _Waiting([*by, "dur"], _counted)
    nothing = numbers.clear().collect()
    batches = numbers.collect_batches(chunk_size=ROWS, maintain_order=False, engine="streaming")
    for batch in chain([nothing], batches):
        alike = AlikeRows([batch[name].to_numpy() for name in by])
        sums.add(_summed(batch, by, alike))
        if spread is not None or batch is nothing:
            durations.add(_durations(batch, by, alike))
    moves = [(pl.col("movers") > 0).alias("moves"), pl.col("sized") > 0]
    values = [_value(name, kind) for name, kind in kinds.items()]
    return sums.all().with_columns(*moves, *values), durations.all().with_columns(values)


class _Waiting:
    # Rows of the parts of calls, which are put together when they are many.
    def __init__(self, by: Sequence[str], together: Callable[[pl.DataFrame, Sequence[str]], pl.DataFrame]) -> None:
        self._by, self._together = by, together
        self._parts: list[pl.DataFrame] = []
        self._rows, self._most = 0, MOST_SUMS

    def add(self, part: pl.DataFrame) -> None:
        self._parts.append(part)
        self._rows += len(part)
        if self._rows > self._most:
            self._parts = [self.all()]
            self._rows, self._most = 0, max(MOST_SUMS, len(self._parts[0]))

    def all(self) -> pl.DataFrame:
        return self._together(pl.concat(self._parts), self._by)


def _number(name: str, kind: pl.DataType) -> pl.Expr:
    is_word = kind in {WORD, pl.String}
    number = pl.col(name).cast(WORD).to_physical() if is_word else pl.col(name)
    return number.cast(pl.Int64).fill_null(NO_NUMBER)


def _value(name: str, kind: pl.DataType) -> pl.Expr:
    value = pl.when(pl.col(name) != NO_NUMBER).then(name)
    is_word = kind in {WORD, pl.String}
    return (value.cast(pl.UInt32).cat.to(WORD) if is_word else value).cast(kind).alias(name)


def _summed(calls: pl.DataFrame, by: Sequence[str], alike: AlikeRows) -> pl.DataFrame:
    sums = np.zeros((alike.count, len(_SUMS)), np.int64)
    columns = [np.ascontiguousarray(calls[name].to_numpy()) for name in _MEASURES]
    places = (c_void_p * len(columns))(*(column.ctypes.data for column in columns))
    library().dc_sum_rows(len(calls), alike.numbers.ctypes.data, places, sums.ctypes.data)
    keys = zip(by, alike.columns(), strict=True)
    return pl.DataFrame(dict(keys) | dict(zip(_SUMS, sums.T, strict=True)))


def _together(parts: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    extremes = pl.col("longest").max(), pl.col("begin").min(), pl.col("end").max()
    return parts.group_by(by).agg(pl.col(_SUMS[:8]).sum(), *extremes)


def _durations(calls: pl.DataFrame, by: Sequence[str], alike: AlikeRows) -> pl.DataFrame:
    rows = calls["spread"].to_numpy() if len(calls) else slice(0)
    found = AlikeRows([alike.numbers[rows], calls["dur"].to_numpy()[rows]])
    numbers, durations = found.columns()
    keys = zip(by, (column[numbers] for column in alike.columns()), strict=True)
    counts = np.bincount(found.numbers, minlength=found.count)
    return pl.DataFrame(dict(keys) | {"dur": durations, "calls": counts})


def _counted(parts: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    return parts.group_by(by).agg(pl.col("calls").sum())
