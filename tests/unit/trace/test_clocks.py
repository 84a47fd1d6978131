"""Readings of the clocks: in a trace from begin to end, and read back."""

from __future__ import annotations

import gzip
import io
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.model.plan import Plan
from datacrumbs.trace.clocks import (
    CLOCK,
    STEP_NS,
    SYNCHRONISED,
    Clock,
    ClockSetter,
    clock_line,
    clock_readings,
    read_clock,
    read_clock_line,
)
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

READING = Clock(1_790_000_000_000_000_007, 1_000_000_007, 2_000_000_011, 53, SYNCHRONISED, 1_237, 101, -7_919, "tsc")
OFFSET = 1_789_999_999_000_000_000


def lines_of(stream: io.BytesIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in gzip.decompress(stream.getvalue()).splitlines() if line not in {b"[", b"]"}]
    return [line["args"] for line in lines if line["name"] == CLOCK]


def written(readings: Sequence[Clock], ticks: int) -> list[dict[str, Any]]:
    """The lines of a trace of a node with these clocks."""
    stream, left = io.BytesIO(), list(readings)
    writer = TraceWriter(
        stream, Plan((), ()), host="n", epoch_offset_ns=OFFSET, user="u", flush_seconds=0, clock=lambda: left.pop(0)
    )
    for _ in range(ticks):
        writer.tick()
    writer.close(Footer([], {}, {}))
    assert not left
    return lines_of(stream)


def test_a_reading_is_read_back() -> None:
    line = json.loads(clock_line(READING, "begin", OFFSET))
    assert read_clock_line(line["args"]) == (OFFSET, replace(READING, at="begin"))
    unknown = replace(READING, state="unknown", max_error_us=None, estimated_error_us=None, frequency_ppb=None)
    line = json.loads(clock_line(unknown, "end", OFFSET))
    assert "max_error_us" not in line["args"]
    assert read_clock_line(line["args"]) == (OFFSET, replace(unknown, at="end"))


@pytest.mark.parametrize("setter", [ClockSetter("chrony", "192.0.2.1", 2, 1_237), ClockSetter("chrony")])
def test_what_sets_the_clock_is_read_back(setter: ClockSetter) -> None:
    line = json.loads(clock_line(replace(READING, setter=setter), "begin", OFFSET))
    assert line["args"]["set_by"] == "chrony"
    assert read_clock_line(line["args"]) == (OFFSET, replace(READING, at="begin", setter=setter))
    for wrong in ({"set_by": 7}, {"reference": ["x"]}, {"stratum": "2"}, {"reference_error_us": 1.5}):
        assert read_clock_line({**line["args"], **wrong}) is None


def test_what_sets_the_clock_is_in_the_first_reading() -> None:
    readings = clock_readings(ClockSetter("chrony"))
    assert [next(readings).setter for _ in range(3)] == [ClockSetter("chrony"), None, None]


def test_what_is_no_reading_is_passed_over() -> None:
    good = json.loads(clock_line(READING, "begin", OFFSET))["args"]
    for wrong in ({"realtime_ns": "1"}, {"realtime_ns": True}, {"state": 7}, {"max_error_us": 1 << 63}):
        assert read_clock_line({**good, **wrong}) is None
    assert read_clock_line({}) is None


def test_the_clocks_of_this_host() -> None:
    before = time.monotonic_ns()
    clock = read_clock()
    assert before <= clock.monotonic_ns <= time.monotonic_ns()
    # However long it takes from one clock to the other.
    least, most = time.time_ns() - time.monotonic_ns(), -time.monotonic_ns() + time.time_ns()
    assert least - 1_000_000_000 < clock.offset_ns < most + 1_000_000_000
    assert clock.state != "unknown"
    assert clock.max_error_us is not None


def test_a_trace_has_readings_of_its_begin_and_end() -> None:
    lines = written([READING] * 3, ticks=1)
    assert [line["at"] for line in lines] == ["begin", "end"]
    assert {line["epoch_offset_ns"] for line in lines} == {OFFSET}


def test_a_clock_that_is_set_is_read_before_and_after() -> None:
    later = replace(READING, realtime_ns=READING.realtime_ns + 2 * STEP_NS)
    lines = written([READING, READING, later, later, READING], ticks=3)
    seen = [(line["at"], line["realtime_ns"] - READING.realtime_ns) for line in lines]
    step = 2 * STEP_NS
    assert seen == [("begin", 0), ("before", 0), ("after", step), ("before", step), ("end", 0)]


def test_each_file_of_a_run_has_readings() -> None:
    first, second = io.BytesIO(), io.BytesIO()
    writer = TraceWriter(
        first, Plan((), ()), host="n", epoch_offset_ns=OFFSET, user="u", flush_seconds=60, clock=lambda: READING
    )
    writer.continue_in(second, {})
    writer.close(Footer([], {}, {}))
    assert [[line["at"] for line in lines_of(stream)] for stream in (first, second)] == [["begin", "end"]] * 2
