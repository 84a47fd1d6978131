"""A row for each call, as Parquet or CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.model.layers import LAYERS
from datacrumbs.report.spreadsheets import harmless_column
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.trace.reader import Traces


ARGUMENTS = ("fd", "offset", "count", "whence", "flags")
"""Columns of `DETAILS` that rows have, null where a call has no such argument, if the traces were read with them."""


def write_parquet(traces: Traces, calls: pl.LazyFrame, place: Path) -> None:
    """Write one row for each call, in the order of the trace."""
    _rows(traces, calls).sink_parquet(place)


def write_csv(traces: Traces, calls: pl.LazyFrame, place: Path) -> None:
    """Write one row for each call; texts without control characters, and none that a spreadsheet would compute."""
    rows = _rows(traces, calls)
    texts = [name for name, kind in rows.collect_schema().items() if kind == pl.String]
    rows.with_columns(harmless_column(name) for name in texts).sink_csv(place)


def _rows(traces: Traces, calls: pl.LazyFrame) -> pl.LazyFrame:
    numbers = range(len(traces.files))
    runs = pl.LazyFrame(
        {
            "trace": list(numbers),
            "host": [trace.host for trace in traces.files],
            "run_id": [str(trace.run.get("run_id", "")) for trace in traces.files],
        },
        {"trace": pl.UInt32, "host": pl.String, "run_id": pl.String},
    )
    category = pl.col("category").cast(pl.String)
    texts = [pl.col(name).cast(pl.String) for name in ("name", "symbol")]
    arguments = [name for name in ARGUMENTS if name in calls.collect_schema()]
    return (
        calls.with_columns(pl.col("trace").cast(pl.UInt32))
        .join(runs, on="trace", how="left", maintain_order="left")
        .select(
            "host",
            "run_id",
            "pid",
            "tid",
            category.replace(LAYERS).alias("layer"),
            *texts,
            pl.col("ts").alias("ts_us"),
            pl.col("dur").alias("dur_us"),
            "ret",
            "errno",
            "bytes",
            "path",
            "target",
            *arguments,
        )
    )
