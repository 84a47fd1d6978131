"""The traces of a job that are measured, what is taken of a command, and what is drawn from it on paper."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from datacrumbs.trace.reader import find_traces, read_traces

BENCH = Path(__file__).resolve().parents[3] / "bench"
CALLS, NODES = 1009, 3


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurements are programs, no package: they find each other by their directory."""
    monkeypatch.syspath_prepend(str(BENCH))


def load(name: str) -> Any:
    return importlib.import_module(name)


def test_each_node_of_a_job_has_its_ranks_and_its_clock(tmp_path: Path) -> None:
    synthetic = load("_synthetic")
    load("nodes").write_jobs(tmp_path, (1, NODES), CALLS)
    assert len(find_traces([tmp_path])) == NODES  # a smaller job's are the same files
    traces = read_traces(find_traces([tmp_path / f"job{NODES}"]))
    assert all(trace.complete for trace in traces.files)
    assert [trace.host for trace in traces.files] == ["node000", "node001", "node002"]
    assert [trace.lines for trace in traces.files] == [CALLS] * NODES
    assert sorted(rank.rank for rank in traces.ranks.values()) == list(range(NODES * synthetic.PROCESSES))
    assert {(rank.job_id, rank.size) for rank in traces.ranks.values()} == {("4711", NODES * synthetic.PROCESSES)}
    ends = [reading.clock for trace in traces.files for reading in trace.clocks if reading.clock.at == "end"]
    shifts = [number * synthetic.SHIFT_NS for number in range(NODES)]
    assert [clock.offset_ns - synthetic.EPOCH_NS for clock in ends] == shifts


def test_a_trace_is_the_same_each_time(tmp_path: Path) -> None:
    synthetic = load("_synthetic")
    for name in ("one", "other"):
        synthetic.write_trace(tmp_path / name, CALLS, synthetic.Node(1, NODES))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_what_a_command_takes_is_measured_to_its_end(tmp_path: Path) -> None:
    spent = load("_spent")
    taken = spent.run_within(600, ["/bin/echo", "done"], tmp_path / "said", place=tmp_path)
    assert (tmp_path / "said").read_text() == "done\n"
    assert taken.peak_mib > 0
    with pytest.raises(SystemExit, match="false: exit 1"):
        spent.run(["/bin/false"])


def test_a_command_is_ended_when_its_time_is_over() -> None:
    assert load("_spent").run_within(0.1, ["/bin/sh", "-c", "sleep 1000 & wait"]) is None


def test_what_is_on_paper_continues_the_line_of_the_two_largest_jobs() -> None:
    nodes, spent = load("nodes"), load("_spent")
    taken = {1: spent.Spent(9.0, 5.0, 100.0), 4: spent.Spent(9.0, 8.0, 130.0), 16: spent.Spent(9.0, 44.0, 190.0)}
    table = nodes.on_paper({"one": taken, "ended": {1: taken[1], 4: None}, "absent": {}})
    assert table.rows == [["one", "3.00", "746", "2,996", "5.00", "1,360", "5,110"]]
    rows = nodes.rows({"one": taken, "ended": {1: taken[1], 4: None}, "absent": {}}, 1_000_000)
    assert [row[:2] for row in rows[-3:]] == [
        ["ended, 1 node, 1 M calls", "9.0"],
        ["ended, 4 nodes, 4 M calls", "ended after 900"],
        ["absent", "not here"],
    ]
