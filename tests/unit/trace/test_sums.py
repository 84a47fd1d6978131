"""Durations in nanoseconds: exact sums and narrow buckets, by function, outermost calls apart from nested ones."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datacrumbs.model.contract import FINE_BUCKETS
from datacrumbs.model.record import RECORD, Batch, CallFlag
from datacrumbs.trace.sums import SUMS, TimeSums, bucket_bounds, read_sums

EDGES = [0, 1, 7, 8, 15, 16, 17, 31, 32, 1023, 1024, 2**32 - 1, 2**32, 2**60, 2**63 - 1]


def test_buckets_follow_each_other_and_have_eight_in_a_power_of_two() -> None:
    bounds = [bucket_bounds(bucket) for bucket in range(FINE_BUCKETS)]
    assert bounds[0] == (0, 0)
    assert bounds[-1][1] == 2**64 - 1
    assert all(low == before[1] + 1 for before, (low, _) in pairwise(bounds))
    assert all((high - low) * 8 < low for low, high in bounds[1:])


def written(synthetic, durations: list[int], flags: list[int]) -> list[dict]:
    calls = np.zeros(len(durations), RECORD)
    calls["function"], calls["flags"], calls["duration"] = synthetic.READ, flags, durations
    calls["start"] = 1000
    data, _ = synthetic.written(Batch(np.ascontiguousarray(part), ()) for part in np.array_split(calls, 3))
    lines = gzip.decompress(data).decode().splitlines()
    return [json.loads(line)["args"] for line in lines if f'"{SUMS}"' in line]


def test_outermost_and_nested_calls_apart(synthetic) -> None:
    outer, nested = int(CallFlag.RETURNED), int(CallFlag.RETURNED | CallFlag.NESTED)
    durations = [312, 313, 7, 19_000, 5, 6, 1_000_000_007]
    flags = [outer, outer, outer, outer, nested, nested, int(CallFlag.POINT)]
    first, second = written(synthetic, durations, flags)
    assert first == {
        "category": "POSIX", "function": "read", "symbol": "read", "nested": 0, "count": 4, "time_ns": 19_632,
        "shortest_ns": 7, "longest_ns": 19_000, "times": "7:1 49:2 97:1",
    }  # fmt: skip
    assert (second["nested"], second["count"], second["time_ns"]) == (1, 2, 11)


@settings(max_examples=50, deadline=None)
@given(durations=st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, 2**40)), min_size=1, max_size=60))
def test_sums_and_quantiles_are_those_of_the_calls(synthetic, durations: list[int]) -> None:
    durations = durations if sum(durations) < 2**63 else durations[:1]
    (line,) = written(synthetic, durations, [int(CallFlag.RETURNED)] * len(durations))
    found = read_sums(line)
    assert found is not None
    key, sums = found
    assert key == ("POSIX", "read", False)
    assert (sums.count, sums.time_ns) == (len(durations), sum(durations))
    assert (sums.shortest_ns, sums.longest_ns) == (min(durations), max(durations))
    ordered = sorted(durations)
    for share in (0.0, 0.5, 0.9, 0.99, 1.0):
        low, high = sums.quantile_ns(share)
        assert low <= ordered[round(share * (len(ordered) - 1))] <= high
        assert (high - low) * 8 <= max(low, 1)


def test_sums_of_several_runs_add_up() -> None:
    total = TimeSums()
    total.add(TimeSums(3, 30, 5, 15, {5: 1, 9: 1, 15: 1}))
    total.add(TimeSums(2, 7, 3, 4, {3: 1, 4: 1}))
    total.add(TimeSums())
    assert total == TimeSums(5, 37, 3, 15, {3: 1, 4: 1, 5: 1, 9: 1, 15: 1})


GOOD = {
    "category": "POSIX", "function": "read", "symbol": "read", "nested": 0, "count": 2, "time_ns": 11,
    "shortest_ns": 5, "longest_ns": 6, "times": "5:1 6:1",
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 3}, {"count": "2"}, {"time_ns": -1}, {"time_ns": 2**63}, {"times": "5:2 6"}, {"times": "496:2"},
        {"nested": None}, {"category": 7}, {"times": ""}, {"count": True},
    ],
)  # fmt: skip
def test_damaged_lines_are_not_taken(wrong: dict) -> None:
    assert read_sums(GOOD) is not None
    assert read_sums(GOOD | wrong) is None
