"""Calls to the calls around them, by their depths: exact although lines have whole microseconds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datacrumbs.report.depths import enclosing, within


def made_calls(rng: np.random.Generator, count: int, step: int) -> list[tuple[int, int, int, int]]:
    """(begin, end, depth, parent) in ns of calls of a thread, in the order of their beginnings."""
    calls: list[list[int]] = []
    around: list[int] = []
    now = 0
    while len(calls) < count or around:
        now += int(rng.integers(1, step))
        if around and (len(calls) >= count or len(around) > 5 or rng.random() < 0.5):
            calls[around.pop()][1] = now
        else:
            calls.append([now, 0, len(around), around[-1] if around else -1])
            around.append(len(calls) - 1)
    return [tuple(call) for call in calls]


def written(calls: list[tuple[int, int, int, int]], chunk: int) -> list[int]:
    """Their order in a file: as they end, chunk by chunk; in a chunk those of one microsecond as they begin."""
    ended = sorted(range(len(calls)), key=lambda row: calls[row][1])
    order = []
    for first in range(0, len(ended), chunk):
        part = ended[first : first + chunk]
        ranks, seen = {}, {}
        for row in sorted(part):
            microsecond = calls[row][0] // 1000
            ranks[row] = seen.setdefault(microsecond, 0)
            seen[microsecond] += 1
        order += sorted(part, key=lambda row: (ranks[row], row % 3))
    return order


def frame(calls: list[tuple[int, int, int, int]], order: list[int]) -> pl.DataFrame:
    rows = [(calls[row][0] // 1000, calls[row][1] // 1000, at, calls[row][2]) for at, row in enumerate(order)]
    schema = {"ts": pl.Int64, "end": pl.Int64, "order": pl.Int64, "depth": pl.UInt8}
    return pl.DataFrame(rows, schema, orient="row")


def parents_of(calls: list[tuple[int, int, int, int]], chunk: int) -> list[int]:
    order = written(calls, chunk)
    found = enclosing(frame(calls, order), np.zeros(len(calls), np.int64)).tolist()
    parents = [-1] * len(calls)
    for at, row in enumerate(order):
        parents[row] = order[found[at]] if found[at] >= 0 else -1
    return parents


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 200), step=st.sampled_from([3, 300, 1500, 10**5]))
def test_every_call_has_the_one_around_it(seed: int, count: int, step: int) -> None:
    calls = made_calls(np.random.default_rng(seed), count, step)
    assert parents_of(calls, len(calls)) == [call[3] for call in calls]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), step=st.sampled_from([300, 1500, 10**5]))
def test_calls_that_take_time_have_it_in_whatever_batches_they_were_written(seed: int, step: int) -> None:
    calls = made_calls(np.random.default_rng(seed), 200, step)
    found = parents_of(calls, 7)
    for row, (begin, end, _, parent) in enumerate(calls):
        if begin // 1000 < end // 1000:
            assert found[row] == parent


def test_a_call_between_that_has_no_line_is_passed_over() -> None:
    calls = [(1000, 90_000, 0, -1), (2000, 80_000, 1, 0), (3000, 70_000, 2, 1)]
    whole = frame(calls, [2, 1, 0])
    assert enclosing(whole, np.zeros(3, np.int64)).tolist() == [1, 2, -1]
    assert enclosing(whole.filter(pl.col("depth") != 1), np.zeros(2, np.int64)).tolist() == [1, -1]


@pytest.mark.parametrize("first", [0, 1])
def test_threads_apart_and_lines_without_a_depth(first: int) -> None:
    calls = [(1000, 90_000, 0, -1), (2000, 80_000, 1, 0)]
    both = pl.concat([frame(calls, [1, 0]), frame(calls, [1, 0]).with_columns(depth=pl.lit(None, pl.UInt8))])
    threads = np.array([first, first, 2, 2])
    assert enclosing(both, threads).tolist() == [1, -1, -1, -1]
    threads[0] = 5
    assert enclosing(both, threads).tolist() == [-1, -1, -1, -1]
    assert enclosing(both.clear(), np.zeros(0, np.int64)).tolist() == []


def test_within_looks_at_all_calls_around() -> None:
    parents = np.array([-1, 0, 1, 2, 0])
    group = np.array([7, 8, 7, 8, 9])
    members = np.array([False, True, True, True, True])
    inside, in_member = within(parents, group, members)
    assert inside.tolist() == [False, False, True, True, False]
    assert in_member.tolist() == [False, False, False, True, False]
    assert [found.tolist() for found in within(parents, group, None)] == [inside.tolist()] * 2
    inside, in_member = within(parents, None, members)
    assert inside.tolist() == [False, True, True, True, True]
    assert in_member.tolist() == [False, False, True, True, False]
