"""Requests of the block layer: which way data goes, and how long the device took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable

ISSUE, COMPLETE = "block_rq_issue", "block_rq_complete"
_OPERATIONS = {"R": "read", "W": "write", "D": "discard", "E": "erase", "F": "flush", "N": "other"}
_FLAGS = {"S": "synchronous", "A": "ahead", "M": "metadata"}


def direction(rwbs: int) -> str:
    """What a request does, from the characters that the kernel writes for it, the first one in the lowest byte.

    Source: blk_fill_rwbs in the kernel's kernel/trace/blktrace.c.

    Returns:
        Such as ``write``, ``read ahead``, ``write synchronous``; empty for what is no such text.
    """
    text = rwbs.to_bytes(8, "little").split(b"\0")[0].decode("ascii", "replace") if 0 < rwbs < 1 << 64 else ""
    flush = text.startswith("F") and len(text) > 1 and text[1] in _OPERATIONS
    letters = text[1:] if flush else text
    operation = _OPERATIONS.get(letters[:1], "")
    if not operation:
        return ""
    flags: Iterable[str] = (_FLAGS[letter] for letter in letters[1:] if letter in _FLAGS)
    return " ".join([operation, *flags, *(["after flush"] if flush else [])])


def with_directions(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls in which events of the block layer have their direction behind the name, and ``latency``.

    Args:
        calls: With name, ts, order, run, dev, sector, rwbs (null for others).

    Returns:
        ``latency`` is the time in us from a request's issue to its completion, null where that is not in the trace: the
        kernel sees completions of traced programs only where these interrupt one.
    """
    asked = calls.filter(pl.col("rwbs").is_not_null())
    if asked.is_empty():
        return calls.with_columns(pl.lit(None, pl.Int64).alias("latency"))
    meanings = {code: direction(code) for code in asked["rwbs"].unique()}
    text = pl.col("rwbs").replace_strict(meanings, default="", return_dtype=pl.String).fill_null("")
    name = pl.col("name").cast(pl.String)
    named = pl.when(text != "").then(pl.concat_str(name, text, separator=" ")).otherwise(name)
    latency = _latencies(asked)
    return calls.with_columns(named.alias("name")).join(latency, on="order", how="left")


# A request is completed by the next event of its sector.
def _latencies(asked: pl.DataFrame) -> pl.DataFrame:
    place = ["run", "dev", "sector"]
    ordered = asked.filter(pl.col("sector").is_not_null()).sort(*place, "ts", "order")
    name = pl.col("name").cast(pl.String)
    ends = (name.shift(-1) == COMPLETE) & pl.all_horizontal(pl.col(key).shift(-1) == pl.col(key) for key in place)
    matched = ordered.with_columns((pl.col("ts").shift(-1) - pl.col("ts")).alias("latency"), ends.alias("ends"))
    return matched.filter(name == ISSUE, pl.col("ends")).select("order", "latency")
