"""Times of a node whose wall clock was set, or drifted from the other, during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datacrumbs.trace.clocks import STEP_NS, Clock
from datacrumbs.trace.corrections import ClockReading, Correction, corrected_calls, correction
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

EPOCH = 1_790_000_000_000_000_000
SECOND = 1_000_000_000


def reading(at_ns: int, wrong_ns: int = 0) -> ClockReading:
    """A reading at a monotonic time, of which the offset is not that of the file's times."""
    return ClockReading(EPOCH, Clock(EPOCH + at_ns + wrong_ns, at_ns, at_ns, 100))


def line(made: ModuleType, each: ClockReading) -> dict[str, Any]:
    clock = each.clock
    numbers = {"realtime_ns": clock.realtime_ns, "monotonic_ns": clock.monotonic_ns, "boottime_ns": clock.boottime_ns}
    return dict(made.metadata("datacrumbs_clock", {"epoch_offset_ns": EPOCH, **numbers, "within_ns": 100}))


def read(
    made: ModuleType, path: Path, readings: list[ClockReading], calls: list[dict[str, Any]]
) -> list[tuple[int, int]]:
    traces = read_traces([made.write(path, calls, before=[line(made, each) for each in readings])])
    return list(traces.calls.sort("order").select("ts", "dur").collect().iter_rows())


@pytest.mark.parametrize(
    "readings", [[], [reading(0)], [reading(0, 1)], [reading(0, STEP_NS), reading(SECOND, -STEP_NS)]]
)
def test_what_reading_takes_changes_nothing(readings: list[ClockReading]) -> None:
    assert correction(readings) == Correction()


def test_drift_is_spread_evenly(made: ModuleType, tmp_path: Path) -> None:
    """Half a millisecond in ten seconds."""
    readings = [reading(SECOND), reading(11 * SECOND, 500_000)]
    moments = [1_000_000, 3_000_000, 6_000_000, 11_000_000]
    calls = [made.call("write", "POSIX", EPOCH // 1000 + moment, 0, bytes=1) for moment in moments]
    found = read(made, tmp_path / "t.pfw.gz", readings, calls)
    assert [begin - EPOCH // 1000 - moment for (begin, _), moment in zip(found, moments, strict=True)] == [
        0,
        100,
        250,
        500,
    ]


def test_what_was_inside_stays_inside(made: ModuleType, tmp_path: Path) -> None:
    readings = [reading(0), reading(10 * SECOND, 7_919_000)]
    begin = EPOCH // 1000
    calls = [made.call("fwrite", "STDIO", begin + 17, 9_000_000, bytes=1)]
    calls += [made.call("write", "POSIX", begin + 17 + 1_013 * n, 1_013, bytes=1) for n in range(8_884)]
    (first, lasted), *inner = read(made, tmp_path / "t.pfw.gz", readings, calls)
    ends = [moment + length for moment, length in inner]
    assert first <= inner[0][0]
    assert max(ends) <= first + lasted
    assert all(end <= following for end, (following, _) in zip(ends, inner[1:], strict=False))


@pytest.mark.parametrize("step_us", [-1_234_567, 7_654_321])
def test_a_clock_that_was_set_holds_for_the_whole_run(made: ModuleType, tmp_path: Path, step_us: int) -> None:
    readings = [reading(0), reading(10 * SECOND, step_us * 1000)]
    calls = [made.call("write", "POSIX", EPOCH // 1000 + moment, 7, bytes=1) for moment in (0, 9_999_999)]
    found = read(made, tmp_path / "t.pfw.gz", readings, calls)
    assert found == [(EPOCH // 1000 + moment + step_us, 7) for moment in (0, 9_999_999)]
    assert correction(readings).step_us == step_us


def test_profiles_are_corrected(made: ModuleType, tmp_path: Path) -> None:
    readings = [reading(0), reading(10 * SECOND, 3_000_000_000)]
    profile = made.profile("write", "POSIX", EPOCH // 1000, 23)
    path = made.write(tmp_path / "t.pfw.gz", [], before=[*(line(made, each) for each in readings), profile])
    (row,) = read_traces([path]).profiles.to_dicts()
    assert (row["begin"], row["end"]) == (EPOCH // 1000 + 3_000_000, EPOCH // 1000 + 3_000_023)


def test_one_reading_of_a_clock_that_is_wrong() -> None:
    assert correction([reading(0, 7 * SECOND)]) == Correction(7_000_000)


@given(
    st.integers(-(10**7), 10**7), st.floats(-1e-3, 1e-3), st.lists(st.integers(EPOCH // 1000, EPOCH // 1000 + 10**12))
)
def test_a_moment_is_corrected_as_calls_are(shift: int, slope: float, times: list[int]) -> None:
    """And what came later stays later, or comes at the same time."""
    each = Correction(shift, slope, EPOCH // 1000)
    columns = {"trace": 0, "dur": 0} | dict.fromkeys(("ts", "end"), pl.Series(sorted(times), dtype=pl.Int64))
    calls = pl.LazyFrame(columns, schema_overrides={"trace": pl.UInt32})
    corrected = corrected_calls(calls, {0: each}).collect()["ts"].to_list()
    assert corrected == [each.of(time) for time in sorted(times)] == sorted(corrected)


@pytest.mark.parametrize("wrong", [0, 10**9])
def test_parts_near_an_interval_have_all_calls_in_it(made: ModuleType, tmp_path: Path, wrong: int) -> None:
    """Also where clocks are corrected; the files of others are not opened."""
    begin, paths = EPOCH // 1000, []
    for number in range(5):
        readings = [reading(SECOND, wrong), reading(2 * SECOND, wrong + wrong // 2000)]
        moments = range(begin + 1009 * number, begin + 1009 * (number + 1), 7)
        calls = [made.call("read", "POSIX", moment, moment % 53, bytes=1) for moment in moments]
        lines = [line(made, each) for each in readings]
        paths.append(made.write(tmp_path / f"{number}.pfw.gz", calls, before=lines, part=number))
    traces = read_traces(paths, memory=1)
    whole = traces.calls.collect()
    assert traces.spill
    first, last = whole["ts"].min(), whole["end"].max()
    assert (first != begin) == bool(wrong)
    for low, high in [(first + 1100, first + 1200), (first + 2000, first + 2100), (last, last + 9), (first - 9, first)]:
        inside = (pl.col("ts") < high) & (pl.col("end") >= low)
        near = traces.near(low, high)
        assert near.filter(inside).collect().equals(whole.filter(inside))
        assert near.collect().height <= len(whole) / 2
    for file in range(len(paths)):
        assert traces.near(first, last + 1, [file]).collect().equals(whole.filter(pl.col("trace") == file))
