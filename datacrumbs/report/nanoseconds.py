"""Times of a table's rows in nanoseconds, from what the writer added up, where that is of the row's calls exactly."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from datacrumbs.report.row_columns import QUANTILES
from datacrumbs.trace.sums import TimeSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.trace.reader import Traces

NANOSECONDS = ("time_ns", *(key.replace("_us", "_ns") for key in QUANTILES), "min_ns", "max_ns")
_MICROSECOND = 1000


def with_nanoseconds(traces: Traces, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of functions or layers with the keys `NANOSECONDS`; None where the sums are not those of the row's calls.

    The longest come first, by what is known most exactly.

    The sums are of all calls of a run. A row has a part of a run's calls, so if it has as many, they are the same; if
    some were selected, or lost on the way to the file, the numbers differ.

    Args:
        traces: Where the rows come from.
        rows: With the keys category, name (of a function), count, nested, p50_us, p90_us and p99_us.
    """
    known: dict[tuple[str, str, bool], TimeSums] = defaultdict(TimeSums)
    for trace in traces.files:
        for (category, name, nested), sums in trace.sums:
            known[category, name, nested].add(sums)
            known[category, "", nested].add(sums)
    exact = [row | _of_sums(row, _of_row(known, row)) for row in rows]
    return sorted(exact, key=time_of, reverse=True)


def time_of(row: dict[str, Any]) -> float:
    """The time of a row in nanoseconds, as exactly as it is known, which is how it is shown; 0 where it is not."""
    exact = row.get("time_ns")
    return float((row["time_us"] or 0) * _MICROSECOND if exact is None else exact)


def _of_row(known: dict[tuple[str, str, bool], TimeSums], row: dict[str, Any]) -> TimeSums | None:
    outermost, nested = (known.get((row["category"], row.get("name", ""), inside)) for inside in (False, True))
    outermost, nested = outermost or TimeSums(), nested or TimeSums()
    if (outermost.count, nested.count) == (row["count"], row["nested"]):
        return outermost
    if outermost.count + nested.count == row["count"] and not row["nested"]:
        # What is around the nested ones was not selected, or has no lines.
        every = TimeSums()
        every.add(outermost)
        every.add(nested)
        return every
    return None


def _of_sums(row: dict[str, Any], sums: TimeSums | None) -> dict[str, int | None]:
    if sums is None or not sums.count:
        return dict.fromkeys(NANOSECONDS)
    quantiles = {key.replace("_us", "_ns"): _quantile(sums, share, row[key]) for key, share in QUANTILES.items()}
    return {"time_ns": sums.time_ns, **quantiles, "min_ns": sums.shortest_ns, "max_ns": sums.longest_ns}


# In the middle of where it can be: within a bucket, and less than a microsecond beside what the lines say.
def _quantile(sums: TimeSums, share: float, microseconds: int | None) -> int:
    low, high = sums.quantile_ns(share)
    if microseconds is not None:
        nearer = max(low, (microseconds - 1) * _MICROSECOND + 1), min(high, (microseconds + 1) * _MICROSECOND - 1)
        if nearer[0] <= nearer[1]:
            low, high = nearer
    return (low + high) // 2
