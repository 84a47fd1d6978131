"""The columns of a table's rows, exact or estimated: what each row says of its calls."""

from __future__ import annotations

from typing import Any

from datacrumbs.trace.dataframes import pl

MOMENTS = ("begin_us", "end_us")
QUANTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99}
TIMED = (pl.col("dur") > 0) | pl.col("ret").is_not_null()
"""An instant has no duration, and a call whose return is not seen has none that is known."""


def columns(scope: str | None) -> tuple[str, ...]:
    """Keys of a row after those that distinguish rows, see `estimated_rows`."""
    of_layer, of_file = ("nested",) if scope == "layer" else (), ("opens",) if scope in {"file", "process"} else ()
    spread = (*QUANTILES, "max_us", "timed")
    return ("count", *of_layer, *of_file, "errors", "bytes", "mean_bytes", "time_us", "waits_us", *spread, *MOMENTS)


def of_no_calls(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the keys of another, for what has no calls."""
    known = {"layers": [], "count": 0, "errors": 0, "timed": 0, "approximate": [], "margin": {}}
    return {key: known.get(key) for key in row}
