"""Times in nanoseconds, where the writer's sums are of the calls that a row counts, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.model.record import CallFlag
from datacrumbs.report.call_selection import CallSelection, select, select_profiles
from datacrumbs.report.nanoseconds import NANOSECONDS, with_nanoseconds
from datacrumbs.report.summary import table
from datacrumbs.report.tables import shown
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

ROUNDS = 13


def rows_of(trace: Path, view: str, selection: CallSelection = CallSelection()) -> dict[str, dict[str, Any]]:  # noqa: B008
    traces = read_traces([trace])
    calls, profiles = select(traces, selection), select_profiles(traces, selection)
    rows = table(traces, calls, profiles, view)
    return {row["name"] if view == "function" else row["layer"]: row for row in rows}


@pytest.fixture(scope="module")
def trace(synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write_trace(tmp_path_factory.mktemp("nanoseconds") / "run.pfw.gz", ROUNDS)


def of_outermost(synthetic, function: int) -> np.ndarray:
    calls = synthetic.records(ROUNDS)
    counted = (calls["flags"] & CallFlag.RETURNED != 0) & (calls["flags"] & CallFlag.NESTED == 0)
    return np.sort(calls["duration"][counted & (calls["function"] == function)])


def test_functions(synthetic, trace: Path) -> None:
    rows = rows_of(trace, "function")
    for function in (synthetic.OPEN, synthetic.READ, synthetic.PWRITE, synthetic.FREAD):
        row, taken = rows[synthetic.FUNCTIONS[function].name], of_outermost(synthetic, function)
        assert row["count"] == len(taken)
        assert (row["time_ns"], row["min_ns"], row["max_ns"]) == (taken.sum(), taken[0], taken[-1])
        for key, share in (("p50_ns", 0.5), ("p90_ns", 0.9), ("p99_ns", 0.99)):
            exact = int(taken[round(share * (len(taken) - 1))])
            assert abs(row[key] - exact) * 8 <= exact


def test_layers(synthetic, trace: Path) -> None:
    calls = synthetic.records(ROUNDS)
    layer = np.array([each.category == "STDIO" for each in synthetic.FUNCTIONS])[calls["function"]]
    counted = layer & (calls["flags"] & CallFlag.NESTED == 0)
    assert rows_of(trace, "layer")["STDIO"]["time_ns"] == calls["duration"][counted].sum()


def test_of_some_calls_nothing_is_said(trace: Path) -> None:
    rows = rows_of(trace, "function", CallSelection(pids=(1000,)))
    assert rows
    assert all(row[key] is None for row in rows.values() for key in NANOSECONDS)


def test_a_selection_of_all_calls_of_a_function_is_exact(trace: Path) -> None:
    everything, some = rows_of(trace, "function"), rows_of(trace, "function", CallSelection(names=("pwrite",)))
    assert some["pwrite"]["time_ns"] == everything["pwrite"]["time_ns"] > 0


def test_files_have_no_such_columns(trace: Path) -> None:
    traces = read_traces([trace])
    calls, profiles = select(traces, CallSelection()), select_profiles(traces, CallSelection())
    assert not set(table(traces, calls, profiles, "file")[0]) & set(NANOSECONDS)


def test_shown() -> None:
    row = {"time_us": 0, "time_ns": 312, "p50_us": 0, "p50_ns": 7, "max_us": 3, "max_ns": 2_999, "timed": 1}
    assert [shown(key, row) for key in ("time_us", "p50_us", "max_us")] == ["312 ns", "7 ns", "3 us"]
    assert shown("time_us", row | {"time_ns": None}) == "<1 us"


def test_the_longest_come_first_also_where_microseconds_say_otherwise(trace: Path) -> None:
    traces = read_traces([trace])
    rows = table(traces, traces.calls, traces.profiles, "function")
    backwards = [row | {"category": row["layer"], "time_us": rank} for rank, row in enumerate(rows)]
    times = [row["time_ns"] for row in with_nanoseconds(traces, backwards) if row["time_ns"] is not None]
    assert len(times) > 1
    assert times == sorted(times, reverse=True)
