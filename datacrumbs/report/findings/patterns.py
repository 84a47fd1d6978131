"""In which order programs read and write their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from datacrumbs.output import printable, warn
from datacrumbs.report.findings.judging import gathered
from datacrumbs.report.findings.portions import of_portion, portions
from datacrumbs.report.findings.positions import PATTERNS
from datacrumbs.report.nesting import every
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from datacrumbs.report.nesting import Near
    from datacrumbs.trace.reader import Traces

FIRST = PATTERNS[0]
KEYS = ("path", "access")
SUMS = ("count", *PATTERNS[1:], "unknown", "bytes", "time_us", "timed")


class Patterns(NamedTuple):
    """Rows of a table, and in words the calls that are not in them."""

    rows: list[dict[str, Any]]
    left: list[str]


def access_patterns(
    traces: Traces, calls: pl.LazyFrame, near: Near | None = None, most: int | None = None, *, partly: bool = True
) -> Patterns:
    """One row per file and direction, the most time first.

    Args:
        traces: Read with their details.
        calls: Those of a selection.
        near: Gives those of them that reach into an interval, perhaps with others, as `Nesting` takes it.
        most: How many portions of calls to look at; None for all.
        partly: Whether to give rows of some of the calls where not all are in these portions.

    Returns:
        Dicts with path, access (read or write), count (requests at the border to the kernel that moved bytes),
        consecutive (they began where the last one on their descriptor ended), sequential (further on), random (before
        its end), unknown (their place is not known), bytes, mean_bytes, largest_bytes, time_us. The first request on
        a descriptor is consecutive. And, in words, the calls that are not in them.
    """
    parts, left = portions(traces, calls, most, partly=partly)
    if not parts:
        return Patterns([], left)
    rows = pl.concat([_rows(traces, of_portion(traces, near or every(calls), part)) for part in parts])
    sums = rows.group_by(KEYS).agg(pl.col(SUMS).sum(), pl.col("largest_bytes").max())
    mean = (pl.col("bytes") / pl.col("count")).round().cast(pl.Int64).alias("mean_bytes")
    ordered = sums.sort("time_us", *KEYS, descending=[True, False, False])
    columns = (*KEYS, *SUMS[:6], mean, "largest_bytes", "time_us", "timed")
    return Patterns(ordered.select(columns).to_dicts(), left)


def rows_with_warnings(patterns: Patterns) -> list[dict[str, Any]]:
    """The rows, after a warning of what is not in them."""
    for reason in patterns.left:
        warn(printable(reason))
    return patterns.rows


def _rows(traces: Traces, calls: pl.LazyFrame) -> pl.DataFrame:
    requests = gathered(traces, calls).requests
    moved = requests.filter(pl.col("kind").is_in(["read", "write"]), pl.col("bytes") > 0)
    pattern = pl.col("pattern").replace({FIRST: PATTERNS[1]})
    return moved.group_by(pl.col("path").cast(pl.String), pl.col("kind").cast(pl.String).alias("access")).agg(
        pl.len().alias("count"),
        *((pattern == name).sum().alias(name) for name in PATTERNS[1:]),
        pattern.is_null().sum().alias("unknown"),
        pl.col("bytes").sum(),
        pl.col("bytes").max().alias("largest_bytes"),
        pl.col("dur").sum().alias("time_us"),
        pl.len().alias("timed"),
    )
