"""Durations of a function's calls in nanoseconds, which lines say in whole microseconds only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datacrumbs.model.contract import FINE_BUCKETS, TIMES_A_POWER
from datacrumbs.trace.names import metadata_line
from datacrumbs.trace.profiles import histogram, histogram_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np

    from datacrumbs.model.plan import Plan

SUMS = "datacrumbs_sums"
_TEXTS = ("category", "function", "symbol")
_NUMBERS = ("nested", "count", "time_ns", "shortest_ns", "longest_ns")
_LIMIT = 1 << 63


@dataclass(slots=True)
class TimeSums:
    """Of calls whose durations are known.

    Attributes:
        count: How many.
        time_ns: All of them together.
        shortest_ns: The shortest.
        longest_ns: The longest.
        times: Bucket -> calls, see `bucket_bounds`.
    """

    count: int = 0
    time_ns: int = 0
    shortest_ns: int = 0
    longest_ns: int = 0
    times: dict[int, int] = field(default_factory=dict)

    def add(self, other: TimeSums) -> None:
        """Take in those of further calls."""
        known = [each for each in (self, other) if each.count]
        self.shortest_ns = min((each.shortest_ns for each in known), default=0)
        self.longest_ns = max((each.longest_ns for each in known), default=0)
        self.count += other.count
        self.time_ns += other.time_ns
        for bucket, calls in other.times.items():
            self.times[bucket] = self.times.get(bucket, 0) + calls

    def quantile_ns(self, share: float) -> tuple[int, int]:
        """The bounds, both included, between which is the duration that this share of the calls does not exceed."""
        rank = round(share * (self.count - 1))
        for bucket, calls in sorted(self.times.items()):
            rank -= calls
            if rank < 0:
                low, high = bucket_bounds(bucket)
                return max(low, self.shortest_ns), min(high, self.longest_ns)
        return self.shortest_ns, self.longest_ns


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """The smallest and the largest number of a bucket: eight for each power of two, below 16 one for each number."""
    if bucket < TIMES_A_POWER:
        return bucket, bucket
    shift = bucket // TIMES_A_POWER - 1
    low = (TIMES_A_POWER + bucket % TIMES_A_POWER) << shift
    return low, low + (1 << shift) - 1


def sums_lines(plan: Plan, sums: Callable[[int, bool], np.void | None]) -> Iterator[str]:
    """For the end of a run: of each function the sums of its outermost calls, and of those inside others of its layer.

    Args:
        plan: The run's plan.
        sums: (function, nested) -> SUMS row, or None where there are no such calls.
    """
    for number, function in enumerate(plan.functions):
        for nested in (False, True):
            row = sums(number, nested)
            if row is not None:
                arguments: list[tuple[str, str | int]] = [
                    ("category", function.category),
                    ("function", function.name),
                    ("symbol", function.symbol),
                    ("nested", int(nested)),
                    ("count", int(row["count"])),
                    *((f"{key}_ns", int(row[key])) for key in ("time", "shortest", "longest")),
                    ("times", histogram_text(row["times"])),
                ]
                yield metadata_line(SUMS, 0, 0, arguments)


def read_sums(arguments: Mapping[str, Any]) -> tuple[tuple[str, str, bool], TimeSums] | None:
    """(category, name, nested) and the sums of a line of `sums_lines`; None where it is damaged."""
    texts = [arguments.get(key) for key in (*_TEXTS, "times")]
    numbers = [arguments.get(key) for key in _NUMBERS]
    if not all(isinstance(text, str) for text in texts):
        return None
    if not all(type(number) is int and 0 <= number < _LIMIT for number in numbers):
        return None
    try:
        times = histogram(str(arguments["times"]), FINE_BUCKETS)
    except ValueError:
        return None
    nested, count, time_ns, shortest, longest = (int(arguments[key]) for key in _NUMBERS)
    if sum(times.values()) != count or not count:
        return None
    return (str(texts[0]), str(texts[1]), bool(nested)), TimeSums(count, time_ns, shortest, longest, times)
