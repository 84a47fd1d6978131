"""Where the calls of traces are kept: in memory, and from some number on in temporary files."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.trace.columns import DETAILS, WORD
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.trace.columns import FunctionNumbers

MEMORY = 480 << 20
"""Bytes of calls that are kept in memory; where they take more, all go to temporary Parquet files."""
FILE_ROWS = 1 << 18
"""Rows of a file, or somewhat more."""
NUMBERS = ("order", "pid", "tid", "dur", "ret", "errno", "bytes", "depth")
COLUMNS: tuple[str, ...] = ("trace", "order", "category", "name", "symbol", "pid", "tid", "ts", "dur")
COLUMNS += ("ret", "errno", "bytes", "fhash", "to_hash", "depth", "end")
_KINDS: dict[str, Any] = dict.fromkeys(("category", "name", "symbol", "fhash", "to_hash"), WORD) | DETAILS
"""Of columns that are no Int64."""
_ASKED = ("category", "name")
"""Of a function, what each table asks for: looked up once."""
LAST_MOMENT = (1 << 63) - 1
_MOST = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Span:
    """Calls of a trace: its position, and when the first of them begins and the last one ends, epoch us."""

    trace: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class StoredCalls:
    """Calls that came one after the other, and what they span by trace; a trace can be there several times."""

    calls: pl.LazyFrame
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    # Calls of a trace that follow each other, the first of them at a place among all, with the column ``since``
    # instead of ``ts``: how long after the first one of them each began.
    span: Span
    place: int
    calls: pl.DataFrame

    # With what is not kept of each.
    def whole(self) -> pl.LazyFrame:
        kind = pl.UInt32 if self.place + len(self.calls) <= _MOST else pl.Int64
        order = (pl.col("row").cast(kind) + self.place).alias("order")
        begin = (pl.col("since").cast(pl.Int64) + self.span.begin).alias("ts")
        trace = pl.lit(self.span.trace, pl.UInt32).alias("trace")
        return self.calls.lazy().with_row_index("row").select(trace, order, begin, pl.exclude("row", "since"))


class CallStore:
    """Keeps calls in the order in which they come.

    Args:
        functions: What the numbers of their functions mean.
        memory: How many bytes they may take in memory.
        details: Whether they have the columns of DETAILS.

    Attributes:
        count: How many there are.
        failures: Calls that failed.
        copies: Calls that name a second file.
        spill: Directory of the temporary files, if there are any.
    """

    def __init__(self, functions: FunctionNumbers, memory: int = MEMORY, *, details: bool = False) -> None:
        self._functions = functions
        self._details = tuple(DETAILS) if details else ()
        self._room = memory
        self._kept: list[_Kept] = []
        self._rows = 0
        self._files: list[tuple[Path, tuple[Span, ...]]] = []
        self.count = self.failures = self.copies = 0
        self.spill: Path | None = None

    def add(self, trace: int, calls: pl.DataFrame) -> None:
        """Keep calls of a trace, with the columns of a `CallPart`'s calls."""
        if calls.is_empty():
            return
        first, last = calls.select(pl.col("ts").min(), end_of_call().max()).row(0)
        words = [column.gather(calls["function"]) for column in self._functions.columns() if column.name in _ASKED]
        # What no call of a part has takes no room.
        kept = calls.select(_since(first, calls["ts"]), *_there(calls), *words)
        self._kept.append(_Kept(Span(trace, first, last), self.count, kept))
        self.count += len(calls)
        self.failures += calls["errno"].count()
        self.copies += calls["to_hash"].count()
        self._rows += len(calls)
        self._room -= int(kept.estimated_size())
        # Where there was not enough room, more calls are to be expected, and what tables take will be needed, too.
        if self._rows >= FILE_ROWS if self.spill else self._room < 0:
            self._write_out()

    def parts(self, path: Callable[[pl.Series], pl.Series]) -> list[StoredCalls]:
        """All calls, at least one part.

        Args:
            path: The names of files, by their hashes.
        """
        parts = [StoredCalls(pl.scan_parquet(file), spans) for file, spans in self._files]
        parts += [StoredCalls(kept.whole(), (kept.span,)) for kept in self._kept]
        parts = parts or [StoredCalls(_Kept(Span(0, 0, 0), 0, _nothing()).whole(), ())]
        functions = self._functions.columns()
        return [StoredCalls(self._public(part.calls, functions, path), part.spans) for part in parts]

    def remove(self) -> None:
        """Remove the temporary files."""
        if self.spill:
            shutil.rmtree(self.spill, ignore_errors=True)

    # With all columns.
    def _public(
        self, calls: pl.LazyFrame, functions: list[pl.Series], path: Callable[[pl.Series], pl.Series]
    ) -> pl.LazyFrame:
        there = calls.collect_schema().names()
        words = [_looked_up(column) for column in functions if column.name not in there]
        calls = calls.with_columns(*words, end_of_call())
        numbers = {name: pl.col(name).cast(_KINDS.get(name, pl.Int64)) for name in (*NUMBERS, *self._details)}
        columns = (*COLUMNS, *self._details)
        lacking = set(columns) - set(calls.collect_schema().names())
        nothing = {name: pl.lit(None, _KINDS.get(name, pl.Int64)).alias(name) for name in lacking}
        calls = calls.select(nothing.get(name, numbers.get(name, pl.col(name))) for name in columns)
        named = pl.col("fhash").map_batches(path, return_dtype=pl.String, is_elementwise=True).alias("path")
        if not self.copies:
            return calls.with_columns(named, pl.lit(None, pl.String).alias("target"))
        target = pl.col("to_hash").map_batches(path, return_dtype=pl.String, is_elementwise=True).alias("target")
        return calls.with_columns(named, target)

    # Frame by frame, so that they are not all in memory twice.
    def _write_out(self) -> None:
        if self.spill is None:
            self.spill = Path(tempfile.mkdtemp(prefix="datacrumbs-report-"))
        self._kept.reverse()
        while self._kept:
            together: list[pl.LazyFrame] = []
            spans: list[Span] = []
            rows = 0
            while self._kept and rows < FILE_ROWS:
                kept = self._kept.pop()
                together.append(kept.whole())
                spans.append(kept.span)
                rows += len(kept.calls)
            file = self.spill / f"{len(self._files):06}.parquet"
            frame = pl.concat(together, how="diagonal_relaxed").collect()
            # Numbers that come again take little room as it is. When the calls were is known, and nothing else is
            # looked for by least and largest values.
            frame.write_parquet(file, compression="uncompressed", statistics=False)
            self._files.append((file, tuple(spans)))
        self._rows = 0


def end_of_call() -> pl.Expr:
    """The column ``end``: when a call ended, in epoch us; the last moment that there is where a line says later."""
    end = pl.col("ts") + pl.max_horizontal(pl.col("dur").cast(pl.Int64), 0)
    return pl.when(end < pl.col("ts")).then(LAST_MOMENT).otherwise(end).alias("end")


# Times as narrow as they are when counted from a moment.
def _since(moment: int, times: pl.Series) -> pl.Series:
    since = (times - moment).alias("since")
    return since.cast(pl.UInt32) if int(since.max()) <= _MOST else since  # type: ignore[arg-type]


def _looked_up(column: pl.Series) -> pl.Expr:
    kind = column.dtype
    found = pl.col("function").map_batches(column.gather, return_dtype=kind, is_elementwise=True)
    return found.alias(column.name)


def _there(calls: pl.DataFrame) -> list[str]:
    counts = zip(calls.columns, calls.null_count().row(0), strict=True)
    return [name for name, number in counts if number < len(calls) and name != "ts"]


def _nothing() -> pl.DataFrame:
    kept = [name for name in COLUMNS if name not in {"trace", "ts", "end", "order", "symbol"}]
    kinds = {name: _KINDS.get(name, pl.Int64) for name in (*kept, *DETAILS)}
    return pl.DataFrame(schema={"since": pl.UInt32, "function": pl.UInt32} | kinds)
