"""Beginnings and ends of calls come in an order in which every call is inside the one that it was made in."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from datacrumbs.report.exports import trees
from datacrumbs.report.exports.trees import nanoseconds, processes, tour
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path

STACK = ("HDF5", "POSIX", "SYS")


def stack(call, chooser: random.Random, begin: int, depth: int, lines: list[dict[str, Any]]) -> int:
    """A call with calls inside it; returns its end. Many take no whole microsecond."""
    end = begin
    own: list[dict[str, Any]] = []
    if depth + 1 < len(STACK):
        for _ in range(chooser.randrange(4)):
            end = stack(call, chooser, end + chooser.randrange(2), depth + 1, own)
    end += chooser.randrange(2)
    lines.append(call(f"f{depth}", STACK[depth], begin, end - begin))
    lines.extend(own)
    return end


@pytest.mark.parametrize("rows", [trees.ROWS, 7])
def test_each_call_is_within_its_parent_and_beside_its_siblings(
    made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(trees, "ROWS", rows)
    chooser, lines = random.Random(23), []
    for thread in range(11):
        call = partial(made.call, thread=thread, process=thread % 3)
        moment = 1000
        for _ in range(13):
            moment = stack(call, chooser, moment, 0, lines)
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", lines)])
    seen = 0
    for nested in processes(traces, traces.calls):
        seen += len(nested)
        walk = tour(nested)
        assert sorted([*walk.begin, *walk.end]) == list(range(2 * len(nested)))
        begin, end = nanoseconds(nested, walk, 1000)
        assert (begin < end).all()
        inner = np.flatnonzero(nested["parent"].to_numpy() >= 0)
        parent = nested["parent"].to_numpy()[inner]
        assert (begin[parent] < begin[inner]).all()
        assert (end[inner] < end[parent]).all()
        # Within a thread no two calls overlap in part.
        for thread in nested["tid"].unique():
            chosen = np.flatnonzero((nested["tid"] == thread).to_numpy())
            open_calls: list[int] = []
            steps = sorted([(begin[row], row) for row in chosen] + [(end[row], row) for row in chosen])
            for _, row in steps:
                if open_calls and open_calls[-1] == row:
                    open_calls.pop()
                else:
                    open_calls.append(row)
            assert not open_calls
        # A call begins and ends in the microseconds of its line, as long as a thousand steps fit.
        assert (begin // 1000 + 1000 == nested["ts"].to_numpy()).all()
    assert seen == len(lines)


def test_many_threads_over_a_week(made, tmp_path: Path) -> None:
    week = 7 * 24 * 3600 * 10**6
    lines = [made.call("read", "POSIX", 1000 + week * turn, 3, process=n) for n in range(503) for turn in (0, 1)]
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", lines)])
    (nested,) = processes(traces, traces.calls)
    begin, end = nanoseconds(nested, tour(nested), 1000)
    assert (begin // 1000 + 1000 == nested["ts"].to_numpy()).all()
    assert (end // 1000 + 1000 == (nested["ts"] + 3).to_numpy()).all()
