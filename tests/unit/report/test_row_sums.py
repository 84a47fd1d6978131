"""Sums of calls by what distinguishes rows: those that the library of data frames gives, however many at a time."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from datacrumbs.report import row_sums

CALLS = 1009
BY = ["trace", "category", "node", "errno", "within"]


def some_calls(seed: int) -> pl.DataFrame:
    choose = random.Random(seed)

    def rows(*values: Any) -> list[Any]:
        return [choose.choice(values) for _ in range(CALLS)]

    def truth() -> tuple[Any, list[Any]]:
        return pl.Boolean, [choose.random() < 0.5 for _ in range(CALLS)]

    columns: dict[str, tuple[Any, list[Any]]] = {
        "trace": (pl.UInt32, rows(0, 1, 2)),
        "category": (pl.Categorical(), rows("SYS", "POSIX", None)),
        "node": (pl.String, rows("a", "b", None)),
        "errno": (pl.Int64, rows(None, None, 0, 2)),
        "within": truth(),
        "bytes": (pl.Int64, rows(None, 0, 1, 4096)),
        "own_bytes": (pl.Int64, rows(None, 0, 1, 4096)),
        "opening": truth(),
        "waiting": truth(),
        "dur": (pl.Int64, rows(-7, 0, 1, 53, (1 << 53) - 1)),
        "ts": (pl.Int64, rows(-1, 0, 1_790_000_000_000_000)),
        "end": (pl.Int64, rows(0, 1, 1_790_000_000_000_001)),
    }
    return pl.DataFrame([pl.Series(name, values, kind) for name, (kind, values) in columns.items()])


def expected(calls: pl.DataFrame) -> pl.DataFrame:
    own = pl.col("own_bytes")
    sums = [
        pl.len().cast(pl.Int64).alias("calls"),
        pl.col("errno").is_not_null().sum().cast(pl.Int64).alias("failed"),
        pl.col("bytes").is_not_null().any().alias("sized"),
        own.sum().alias("moved"),
        own.is_not_null().any().alias("moves"),
        own.is_not_null().sum().cast(pl.Int64).alias("movers"),
        pl.col("opening").sum().cast(pl.Int64).alias("opened"),
        pl.col("dur").filter("waiting").sum().alias("waited"),
        pl.col("dur").sum().alias("took"),
        pl.col("dur").max().alias("longest"),
        pl.col("ts").min().alias("begin"),
        pl.col("end").max(),
    ]
    return calls.group_by(BY).agg(sums)


def ordered(frame: pl.DataFrame, *beside: str) -> pl.DataFrame:
    return frame.select(sorted(frame.columns)).sort(pl.col("category", "node").cast(pl.String), *BY, *beside)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rows", [7, row_sums.ROWS])
def test_sums_are_those_of_groups(monkeypatch: pytest.MonkeyPatch, seed: int, rows: int) -> None:
    monkeypatch.setattr(row_sums, "ROWS", rows)
    monkeypatch.setattr(row_sums, "MOST_SUMS", rows)
    calls = some_calls(seed)
    found = row_sums.sums_and_durations(calls.lazy(), BY, None)[0]
    assert ordered(found).equals(ordered(expected(calls)))
    assert dict(found.schema) == dict(expected(calls).select(found.columns).schema)


def test_no_calls_have_no_sums() -> None:
    calls = some_calls(1).clear()
    found = row_sums.sums_and_durations(calls.lazy(), BY, None)[0]
    assert found.is_empty()
    assert dict(found.schema) == dict(expected(calls).select(found.columns).schema)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rows", [7, row_sums.ROWS])
def test_durations_are_counted_of_those_that_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, seed: int, rows: int
) -> None:
    monkeypatch.setattr(row_sums, "ROWS", rows)
    monkeypatch.setattr(row_sums, "MOST_SUMS", rows)
    calls = some_calls(seed)
    sums, durations = row_sums.sums_and_durations(calls.lazy(), BY, ~pl.col("within"))
    counted = calls.filter(~pl.col("within")).group_by(*BY, "dur").agg(pl.len().cast(pl.Int64).alias("calls"))
    assert ordered(durations, "dur").equals(ordered(counted, "dur"))
    assert ordered(sums).equals(ordered(expected(calls)))


def test_no_durations_are_counted_where_none_are_looked_at() -> None:
    calls = some_calls(1)
    for some, spread in ((calls, None), (calls, pl.lit(value=False)), (calls.clear(), ~pl.col("within"))):
        _, durations = row_sums.sums_and_durations(some.lazy(), BY, spread)
        assert durations.is_empty()
        assert durations.columns == [*BY, "dur", "calls"]
