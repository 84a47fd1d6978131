"""What tracing cost a run, and by how much it would have been shorter without."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.report.overlapping_traces import lives_of
from datacrumbs.report.tracing_cost import TracingCost, tracing_costs
from datacrumbs.trace.costs import CallCost, TracedCalls
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from types import ModuleType

COMMAND = Path(sysconfig.get_path("scripts")) / "datacrumbs_report"
WAYS = (TracedCalls("function", 101, CallCost(2000, 100)), TracedCalls("system call", 1009, CallCost(300, 50)))
LOW, HIGH = (101 * 1900 + 1009 * 250) / 1000, (101 * 2100 + 1009 * 350) / 1000
ENTRIES = {
    "calls function": "101",
    "cost function": "2000 ±100 ns",
    "calls system call": "1009",
    "cost system call": "300 ±50 ns",
}


@pytest.fixture
def trace(made: ModuleType, tmp_path: Path) -> Any:
    """A trace of calls, with this provenance."""

    def make(provenance: dict[str, str], host: str = "one") -> Path:
        calls = [made.call("write", "POSIX", 1000 * n, 900, ret=7) for n in range(7)]
        lines = [made.metadata("datacrumbs_provenance", provenance)]
        return Path(made.write(tmp_path / f"{host}.pfw.gz", calls, {}, host=host, before=lines))

    return make


def test_the_sum_is_that_of_all_calls_with_costs() -> None:
    cost = TracingCost("one", (*WAYS, TracedCalls("kernel event", 23, None)), "", 10_000)
    assert cost.bounds_us == (LOW, HIGH)
    assert cost.unknown_calls == 23
    assert "(1,110 calls, 23 more of unknown cost; " in cost.described()


def test_only_the_most_that_was_saved_is_known() -> None:
    """Others need not have waited for the thread that lost time."""
    assert TracingCost("one", WAYS, "", 10_000).without_us == (10_000 - HIGH, 10_000)


def test_no_run_is_shorter_than_nothing() -> None:
    cost = TracingCost("one", WAYS, "", 100)
    assert cost.without_us == (0, 100)
    assert cost.described().endswith("the run of 100 us would have been at most about 100 us shorter")


def test_traces(trace: Any) -> None:
    traces = read_traces([trace(ENTRIES), trace({"kernel": "6.18"}, host="two")])
    found = tracing_costs(traces, lives_of(traces))
    assert [(cost.host, cost.ways, cost.span_us) for cost in found] == [("one", WAYS, 6900)]


def test_the_command_says_it_apart(trace: Any, tmp_path: Path) -> None:
    path = trace(ENTRIES)
    text = subprocess.run([COMMAND, path], capture_output=True, text=True, check=True).stdout
    assert f"one: tracing cost about {(LOW + HIGH) / 2:.3g} us ±60.6 us of thread time in its probes" in text
    assert "; without the probes, the run of 6.9 ms would have been at most about 565 us shorter" in text
    document = json.loads(subprocess.run([COMMAND, path, "--json"], capture_output=True, check=True).stdout)
    assert document["tracing_costs"][0]["cost_us"] == [LOW, HIGH]
    assert sum(row["time_us"] for row in document["functions"]) == 7 * 900  # nothing is subtracted
    page = tmp_path / "page.html"
    subprocess.run([COMMAND, path, "--html", page], check=True, capture_output=True)
    assert "tracing cost about" in page.read_text()


def test_why_there_is_none(trace: Any) -> None:
    path = trace({"calls system call": "1009", "cost": "not calibrated: the run ended before it was measured"})
    text = subprocess.run([COMMAND, path], capture_output=True, text=True, check=True).stdout
    assert "one: what tracing cost is not known: the run ended before it was measured" in text
