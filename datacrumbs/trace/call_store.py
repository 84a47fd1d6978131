"""Where the calls of traces are kept: in memory, and from some number on in temporary files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.trace.columns import DETAILS, WORD
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SPILL_ROWS = 8_000_000
"""Calls kept in memory, about 50 bytes each; more go to temporary Parquet files."""
FILE_ROWS, GROUP_ROWS = 1 << 20, 1 << 18
"""Rows of a file, and of its parts that can be read apart."""
NUMBERS = ("order", "pid", "tid", "dur", "ret", "errno", "bytes", "depth")
COLUMNS: tuple[str, ...] = ("trace", "order", "category", "name", "symbol", "pid", "tid", "ts", "dur")
COLUMNS += ("ret", "errno", "bytes", "fhash", "to_hash", "depth", "end")
_KINDS: dict[str, Any] = dict.fromkeys(("category", "name", "symbol", "fhash", "to_hash"), WORD) | DETAILS
"""Of columns that are no Int64."""
LAST_MOMENT = (1 << 63) - 1
_MOST = (1 << 32) - 1


class CallStore:
    """Keeps calls in the order in which they come.

    Args:
        spill_rows: How many may stay in memory.
        details: Whether they have the columns of DETAILS.

    Attributes:
        copies: Calls that name a second file.
        spill: Directory of the temporary files, if there are any.
    """

    def __init__(self, spill_rows: int = SPILL_ROWS, *, details: bool = False) -> None:
        self._details = tuple(DETAILS) if details else ()
        self._spill_rows = spill_rows
        self._kept: list[tuple[int, pl.DataFrame]] = []
        self._rows = 0
        self._order = 0
        self._files: list[Path] = []
        self.copies = 0
        self.spill: Path | None = None

    def add(self, trace: int, calls: pl.DataFrame) -> None:
        """Keep calls of a trace, with the columns of a `CallPart`'s calls."""
        if calls.is_empty():
            return
        begin, self._order = self._order, self._order + len(calls)
        kind = pl.UInt32 if self._order <= _MOST else pl.Int64
        order = pl.int_range(begin, self._order, dtype=kind, eager=True).alias("order")
        # What no call of a part has takes no room.
        self._kept.append((trace, calls.select(*_there(calls), order)))
        self.copies += len(calls) - calls["to_hash"].null_count()
        self._rows += len(calls)
        if self._rows >= self._spill_rows:
            self._write_out()

    def calls(self, path: Callable[[pl.Series], pl.Series]) -> pl.LazyFrame:
        """All calls.

        Args:
            path: The names of files, by their hashes.
        """
        parts = [pl.scan_parquet(file) for file in self._files]
        parts += [_whole(trace, frame) for trace, frame in self._kept]
        calls = pl.concat(_public(part, self._details) for part in parts or [_whole(0, _nothing())])
        named = pl.col("fhash").map_batches(path, return_dtype=pl.String, is_elementwise=True).alias("path")
        if not self.copies:
            return calls.with_columns(named, pl.lit(None, pl.String).alias("target"))
        target = pl.col("to_hash").map_batches(path, return_dtype=pl.String, is_elementwise=True).alias("target")
        return calls.with_columns(named, target)

    def remove(self) -> None:
        """Remove the temporary files."""
        if self.spill:
            shutil.rmtree(self.spill, ignore_errors=True)

    # Frame by frame, so that they are not all in memory twice.
    def _write_out(self) -> None:
        if self.spill is None:
            self.spill = Path(tempfile.mkdtemp(prefix="datacrumbs-report-"))
        self._kept.reverse()
        while self._kept:
            together: list[pl.LazyFrame] = []
            rows = 0
            while self._kept and rows < FILE_ROWS:
                trace, frame = self._kept.pop()
                together.append(_whole(trace, frame))
                rows += len(frame)
            self._files.append(self.spill / f"{len(self._files):06}.parquet")
            frame = pl.concat(together, how="diagonal_relaxed").collect()
            frame.write_parquet(self._files[-1], compression="lz4", row_group_size=GROUP_ROWS)
        self._rows = 0
        # More are to be expected, and what tables take will be needed, too.
        self._spill_rows = min(self._spill_rows, FILE_ROWS)


def end_of_call() -> pl.Expr:
    """The column ``end``: when a call ended, in epoch us; the last moment that there is where a line says later."""
    end = pl.col("ts") + pl.max_horizontal(pl.col("dur").cast(pl.Int64), 0)
    return pl.when(end < pl.col("ts")).then(LAST_MOMENT).otherwise(end).alias("end")


# With the columns that need no room in memory.
def _whole(trace: int, frame: pl.DataFrame) -> pl.LazyFrame:
    return frame.lazy().with_columns(pl.lit(trace, pl.UInt32).alias("trace"), end_of_call())


def _public(calls: pl.LazyFrame, details: Sequence[str]) -> pl.LazyFrame:
    numbers = {name: pl.col(name).cast(pl.Int64) for name in NUMBERS}
    lacking = {*COLUMNS, *details} - set(calls.collect_schema().names())
    nothing = {name: pl.lit(None, _KINDS.get(name, pl.Int64)).alias(name) for name in lacking}
    return calls.select(nothing.get(name, numbers.get(name, pl.col(name))) for name in (*COLUMNS, *details))


def _there(calls: pl.DataFrame) -> list[str]:
    counts = calls.null_count().row(0)
    return [name for name, number in zip(calls.columns, counts, strict=True) if number < len(calls)]


def _nothing() -> pl.DataFrame:
    kept = [name for name in COLUMNS if name not in {"trace", "end"}]
    return pl.DataFrame(schema={name: _KINDS.get(name, pl.Int64) for name in (*kept, *DETAILS)})
