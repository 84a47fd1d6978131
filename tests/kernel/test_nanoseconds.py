"""Sums and histograms of a trace in nanoseconds: those of what the kernel side recorded, call by call."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.model.record import Batch, CallFlag, FunctionCounts
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.reader import read_traces
from datacrumbs.trace.sums import TimeSums
from datacrumbs.trace.writer import TraceWriter

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Trace, Tracer

pytestmark = pytest.mark.kernel

CALLS = 1009


def bucket(nanoseconds: int) -> int:
    """Eight in each power of two, reckoned here from what the page on the format says."""
    if nanoseconds < 16:
        return nanoseconds
    power = nanoseconds.bit_length() - 4
    return 8 * (power + 1) + (nanoseconds >> power) - 8


def expected(trace: Trace) -> dict[tuple[str, bool], TimeSums]:
    """Function, and whether it is inside another call of its layer -> its durations."""
    found = {}
    returned = trace.calls[trace.calls["flags"] & CallFlag.RETURNED > 0]
    for number, function in enumerate(trace.plan.functions):
        calls = returned[returned["function"] == number]
        for nested in (False, True):
            is_inside = calls["flags"] & CallFlag.NESTED > 0
            times = calls["duration"][is_inside == nested].tolist()
            if times:
                spread = Counter(map(bucket, times))
                found[function.symbol, nested] = TimeSums(len(times), sum(times), min(times), max(times), dict(spread))
    return found


def written(tracer: Tracer, trace: Trace, place: Path) -> dict[tuple[str, bool], TimeSums]:
    stream = io.BytesIO()
    writer = TraceWriter(stream, tracer.plan, host="node", epoch_offset_ns=0, user="ada", flush_seconds=1)
    for part in np.array_split(trace.calls, 3):
        writer.write(Batch(np.ascontiguousarray(part), tuple(trace.names.values())))
    writer.close(Footer([FunctionCounts() for _ in tracer.plan.functions], {}, {}))
    place.write_bytes(stream.getvalue())
    (file,) = read_traces([place]).files
    return {(name, nested): sums for (_, name, nested), sums in file.sums}


def test_of_many_short_calls(tracer: Tracer, tmp_path: Path) -> None:
    trace = tracer.run("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=23", f"count={CALLS}", "status=none")
    found, known = written(tracer, trace, tmp_path / "trace.pfw.gz"), expected(trace)
    assert found["write", False].count == CALLS
    assert found == {(name_of(trace, symbol), nested): sums for (symbol, nested), sums in known.items()}


def test_of_calls_inside_others(tracer: Tracer, lives: Path, tmp_path: Path) -> None:
    trace = tracer.run(str(lives), "recursion")
    found, known = written(tracer, trace, tmp_path / "trace.pfw.gz"), expected(trace)
    assert (found["layer_nested", False].count, found["layer_add", True].count) == (5, 10)
    assert found == {(name_of(trace, symbol), nested): sums for (symbol, nested), sums in known.items()}


def name_of(trace: Trace, symbol: str) -> str:
    """As which a trace's lines have a function."""
    return next(function.name for function in trace.plan.functions if function.symbol == symbol)
