"""In which order programs read and write their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacrumbs.report.findings.judging import gathered
from datacrumbs.report.findings.positions import PATTERNS
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from datacrumbs.trace.reader import Traces

FIRST = PATTERNS[0]


def access_patterns(traces: Traces, calls: pl.LazyFrame) -> list[dict[str, Any]]:
    """One row per file and direction, the most time first.

    Args:
        traces: Read with their details.
        calls: Those of a selection.

    Returns:
        Dicts with path, access (read or write), count (requests at the border to the kernel that moved bytes),
        consecutive (they began where the last one on their descriptor ended), sequential (further on), random (before
        its end), unknown (their place is not known), bytes, median_bytes, largest_bytes, time_us. The first request on
        a descriptor is consecutive.
    """
    requests = gathered(traces, calls, frozenset(range(len(traces.files)))).requests
    moved = requests.filter(pl.col("kind").is_in(["read", "write"]), pl.col("bytes") > 0)
    pattern = pl.col("pattern").replace({FIRST: PATTERNS[1]})
    rows = moved.group_by(pl.col("path").cast(pl.String), pl.col("kind").cast(pl.String).alias("access")).agg(
        pl.len().alias("count"),
        *((pattern == name).sum().alias(name) for name in PATTERNS[1:]),
        pattern.is_null().sum().alias("unknown"),
        pl.col("bytes").sum(),
        pl.col("bytes").quantile(0.5, "lower").cast(pl.Int64).alias("median_bytes"),
        pl.col("bytes").max().alias("largest_bytes"),
        pl.col("dur").sum().alias("time_us"),
        pl.len().alias("timed"),
    )
    return rows.sort("time_us", "path", "access", descending=[True, False, False]).to_dicts()
