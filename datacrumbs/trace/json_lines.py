"""Lines of any JSON to frames, and columns of calls as the readers of a trace have them."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from datacrumbs.trace.columns import DETAILS, WORD
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.trace.columns import FunctionNumbers

NUMBER, TEXT = pl.Int64, pl.String
ARGUMENTS = {"hhash": TEXT, "fhash": TEXT, "to_hash": TEXT, "ret": NUMBER, "errno": NUMBER, "bytes": NUMBER}
ARGUMENTS |= {"depth": NUMBER, "symbol": TEXT, "name": TEXT, "value": TEXT, "raw": TEXT}
SCHEMA: dict[str, Any] = {"name": TEXT, "cat": TEXT, "ph": TEXT, "pid": NUMBER, "tid": NUMBER}
SCHEMA |= {"ts": NUMBER, "dur": NUMBER, "args": pl.Struct(ARGUMENTS)}
DETAILED: dict[str, Any] = {**SCHEMA, "args": pl.Struct(ARGUMENTS | dict.fromkeys(DETAILS, NUMBER))}
_MOVING = (
    "read write pread pwrite pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 fread fwrite send recv "
    "sendto recvfrom sendmsg recvmsg"
)
MOVING = _MOVING.split()
"""Calls whose ``ret`` is the bytes moved, for traces that do not say ``bytes``."""

_UNREADABLE = (pl.exceptions.PolarsError, OSError)
"""What polars raises for lines that are no JSON; OSError for what begins as a compressed stream does."""


def parse_lines(chunk: bytes, schema: dict[str, Any] = SCHEMA) -> tuple[pl.DataFrame, int]:
    """Lines to a frame of a schema, SCHEMA or DETAILED, and how many are no JSON."""
    chunk = chunk.removeprefix(b"[\n")
    if chunk.endswith((b"\n]\n", b"\n]")) or chunk in {b"]\n", b"]"}:
        chunk = chunk.rstrip(b"]\n")
        chunk += b"\n" if chunk else b""
    try:
        return _frame(chunk, schema), 0
    except _UNREADABLE:
        lines = [line for line in chunk.splitlines() if line not in {b"[", b"]", b""}]
        good = [line for line in lines if _is_object(line)]
        frames = list(_readable(good, schema))
        read = sum(count for _, count in frames)
        return pl.concat([_frame(b"", schema), *(frame for frame, _ in frames)]), len(lines) - read


# Frames of what can be read, with their numbers of lines. A damaged file is a rare thing, and so are its damaged
# lines: halving finds them.
def _readable(lines: list[bytes], schema: dict[str, Any]) -> Iterator[tuple[pl.DataFrame, int]]:
    if not lines:
        return
    try:
        yield _frame(b"\n".join(lines), schema), len(lines)
    except _UNREADABLE:
        if len(lines) > 1:
            yield from _readable(lines[: len(lines) // 2], schema)
            yield from _readable(lines[len(lines) // 2 :], schema)


def _frame(chunk: bytes, schema: dict[str, Any]) -> pl.DataFrame:
    if not chunk.strip():
        return pl.DataFrame(schema=schema)
    return pl.read_ndjson(io.BytesIO(chunk), schema=schema, ignore_errors=True)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def call_columns(events: pl.DataFrame) -> pl.DataFrame:
    """The columns of a `CallPart`'s calls from lines of calls, with those of FUNCTION instead of its number."""
    arguments = pl.col("args").struct
    texts = {"category": pl.col("cat"), "name": pl.col("name"), "symbol": arguments.field("symbol")}
    hashes = {name: arguments.field(name) for name in ("fhash", "to_hash")}
    return events.select(
        *(text.cast(WORD).alias(name) for name, text in texts.items()),
        "pid",
        "tid",
        "ts",
        pl.col("dur").fill_null(0),
        *(arguments.field(name).alias(name) for name in ("ret", "errno", "bytes")),
        *(text.cast(WORD).alias(name) for name, text in hashes.items()),
        arguments.field("depth").alias("depth"),
        *_details(events),
    )


# A number that does not fit is none: a file system has no such offset.
def _details(frame: pl.DataFrame) -> Iterator[pl.Expr]:
    for name in DETAILS if frame.schema["args"] == DETAILED["args"] else ():
        yield pl.col("args").struct.field(name).cast(DETAILS[name], strict=False).alias(name)


def settled(calls: pl.DataFrame, functions: FunctionNumbers, *, ours: bool, deep: bool) -> pl.DataFrame:
    """The calls with what lines leave unsaid.

    Args:
        calls: Columns of a `CallPart`'s calls.
        functions: What the numbers of their functions mean.
        ours: Whether our writer made them. DFTracer writes neither errno nor bytes; there -1 is a failure and ret of a
            data call its bytes.
        deep: Whether a line that does not say its depth has none.
    """
    depth = pl.col("depth").fill_null(0) if deep else pl.lit(None, calls.schema["depth"]).alias("depth")
    calls = calls.with_columns(depth)
    ret, errno, moved = (pl.col(name) for name in ("ret", "errno", "bytes"))
    if not ours:
        errno = pl.when(ret == -1).then(pl.coalesce(errno, 0)).otherwise(errno).alias("errno")
        moving = pl.col("function").is_in(functions.of_names(MOVING)) & (ret >= 0)
        calls = calls.with_columns(errno, pl.coalesce(moved, pl.when(moving).then(ret)).alias("bytes"))
    lowest = calls["bytes"].min()
    if isinstance(lowest, int) and lowest < 0:  # a layer says -1 where it cannot know
        calls = calls.with_columns(pl.when(moved >= 0).then(moved))
    return calls
