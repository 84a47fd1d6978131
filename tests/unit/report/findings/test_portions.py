"""Long traces are judged in portions of whole processes, and what is left out is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.report.call_selection import CallSelection
from datacrumbs.report.findings import portions as module
from datacrumbs.report.findings.judging import find
from datacrumbs.report.findings.patterns import access_patterns
from datacrumbs.report.findings.portions import Portion, of_portion, portions
from datacrumbs.trace.reader import Traces, read_traces

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def traces_of(made, tmp_path: Path):
    def traces(sizes: list[int]) -> Traces:
        lines = []
        for number, size in enumerate(sizes):
            write = {"ret": 10, "bytes": 10, "fd": 3, "count": 10, "fhash": "f1", "process": 100 + number}
            lines += [made.call("write", "POSIX", 20 * turn, 10, **write) for turn in range(size)]
        return read_traces([made.write(tmp_path / "run.pfw.gz", lines, {"f1": "/data/one"})], details=True)

    return traces


def found(traces: Traces) -> dict[str, Any]:
    return find(traces, traces.calls, CallSelection()).as_json()


def test_few_calls_are_one_portion(traces_of) -> None:
    traces = traces_of([97, 13])
    assert portions(traces, traces.calls) == ([Portion()], [])


def test_portions_change_no_finding(traces_of, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = traces_of([1009, 11, 1013, 997, 1019])
    whole, patterns = found(traces), access_patterns(traces, traces.calls)
    monkeypatch.setattr(module, "LIMIT", 2500)
    parts, left = portions(traces, traces.calls)
    assert ([part.processes for part in parts], left) == (
        [((0, 104), (0, 102)), ((0, 100), (0, 103), (0, 101))],
        [],
    )
    sizes = [of_portion(traces, traces.near, part).collect().height for part in parts]
    assert sizes == [1019 + 1013, 1009 + 997 + 11]
    assert found(traces) == whole
    assert access_patterns(traces, traces.calls) == patterns
    assert {place["pid"] for place in whole["findings"][0]["places"]} == {100, 102, 104}


def test_what_is_left_out_is_said(traces_of, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = traces_of([5003, 1021, 1019, 1013, 1009])
    monkeypatch.setattr(module, "LIMIT", 1500)
    monkeypatch.setattr(module, "MOST", 3)
    parts, left = portions(traces, traces.calls, 3)
    assert len(parts) == 3
    assert parts[0].processes == ((0, 100),)
    first = of_portion(traces, traces.near, parts[0]).collect()
    assert 1400 < first.height <= 1500
    assert left == [
        f"the calls of a process (pid 100) behind the first {first.height:,} of 5,003",
        "2 processes with 2,022 calls: only the 3 with the most calls were looked at",
    ]
    document = found(traces)
    assert {place["pid"] for place in document["findings"][0]["places"]} >= {100, 101, 102}
    reasons = [each["reason"] for each in document["not_judged"]]
    assert left[0] in reasons
