"""Jobs over several nodes: a row for each rank and node, and what is missing by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.report.job_ranks import jobs, ranges
from datacrumbs.trace.reader import read_traces

from .printed import data_of, text_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

CALLS = {0: 23, 1: 41, 2: 67}
SIZE = 5
NODES = {"one": (0, 1), "two": (2,), "idle": ()}
BYTES, DURATION = 7, 11


def about(made: ModuleType, process: int, rank: int) -> list[dict[str, Any]]:
    """Lines of a process that say which rank it is."""
    values = {"rank": rank, "local_rank": 0, "size": SIZE, "job_id": 4711, "step": 3, "launcher": "slurm"}
    return [
        made.metadata("PR", {"hhash": "00", "name": name, "value": str(value)}, process)
        for name, value in values.items()
    ]


def trace(made: ModuleType, path: Path, host: str) -> Path:
    lines, calls = [], []
    for rank in NODES[host]:
        process = 100 + rank % 2
        lines += about(made, process, rank)
        calls += [
            made.call("write", "POSIX", 1_000 + 100 * rank + 20 * number, DURATION, process=process, bytes=BYTES)
            for number in range(CALLS[rank])
        ]
    if NODES[host]:  # a process that is no rank
        calls.append(made.call("read", "POSIX", 1_005, DURATION, process=90, bytes=0))
    return made.write(path, calls, host=host, before=lines, run_id="4711")


@pytest.fixture
def directory(made: ModuleType, tmp_path: Path) -> Path:
    for host in NODES:
        trace(made, tmp_path / f"{host}.pfw.gz", host)
    return tmp_path


def test_a_row_for_each_rank(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = data_of(capsys, directory, "--by", "rank")["ranks"]
    keys = ("job_id", "step", "rank", "count", "bytes", "time_us")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        *(("4711", 3, rank, CALLS[rank], CALLS[rank] * BYTES, CALLS[rank] * DURATION) for rank in (2, 1, 0)),
        (None, None, None, 2, 0, 2 * DURATION),
    ]


def test_the_slowest_rank_and_the_sums(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = text_of(capsys, directory, "--by", "rank")
    calls = sum(CALLS.values())
    assert f"all ranks: {calls} calls, {calls * BYTES} B, 1.44 ms" in printed
    assert "slowest: rank 2 with 737 us, median: 451 us" in printed
    assert "job 4711 step 3: 3 of 5 ranks on 2 nodes; missing: 3-4" in printed


def test_of_two_ranks_the_median_is_between_them(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = text_of(capsys, directory / "one.pfw.gz", "--by", "rank")
    middle = (CALLS[0] + CALLS[1]) * DURATION // 2
    assert f"slowest: rank 1 with {CALLS[1] * DURATION} us, median: {middle} us" in printed


def test_what_is_missing_is_in_the_data(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job,) = data_of(capsys, directory)["jobs"]
    expected = {"0": ["one"], "1": ["one"], "2": ["two"]}
    assert job == {"job_id": "4711", "step": 3, "size": SIZE, "ranks": expected, "missing": [3, 4]}


def test_a_row_for_each_node_also_for_one_without_calls(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "two.pfw.gz").write_bytes((directory / "two.pfw.gz").read_bytes()[:-9])
    rows = data_of(capsys, directory, "--by", "node")["nodes"]
    keys = ("host", "count", "ranks", "begin_us", "end_us")
    last = {rank: 100 * rank + 20 * (CALLS[rank] - 1) + DURATION for rank in CALLS}
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("two", CALLS[2] + 1, 1, 5, last[2]),
        ("one", CALLS[0] + CALLS[1] + 1, 2, 0, max(last[0], last[1])),
        ("idle", 0, 0, None, None),
    ]
    states = {row["host"]: row["state"] for row in rows}
    assert (states["one"], states["idle"]) == ("complete", "complete")
    assert "cut" in states["two"] or "damaged" in states["two"]
    assert "idle" in text_of(capsys, directory, "--by", "node")


def test_calls_of_a_rank(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = data_of(capsys, directory, "--by", "function", "--rank", 1)["functions"]
    assert (row["name"], row["count"]) == ("write", CALLS[1])
    rows = data_of(capsys, directory, "--by", "process", "--rank", "1", "--rank", "2")["processes"]
    assert sorted((row["host"], row["rank"], row["count"]) for row in rows) == [("one", 1, 41), ("two", 2, 67)]


def test_profiles_are_of_ranks_too(made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for rank in (0, 1) for line in about(made, 100 + rank, rank)]
    profiles = [made.profile("write", "POSIX", 1_000, CALLS[rank], process=100 + rank) for rank in (0, 1)]
    made.write(tmp_path / "p.pfw.gz", [], before=[*lines, *profiles])
    rows = data_of(capsys, tmp_path, "--by", "rank")["ranks"]
    assert {row["rank"]: row["count"] for row in rows} == {0: CALLS[0], 1: CALLS[1]}
    rows = data_of(capsys, tmp_path, "--by", "rank", "--rank", "1")["ranks"]
    assert [(row["rank"], row["count"]) for row in rows] == [(1, CALLS[1])]


def test_ranks_of_dftracer(made: ModuleType, tmp_path: Path) -> None:
    """It writes the rank alone, and other things of a process in the same way."""
    lines = [
        made.metadata("PR", {"hhash": "00", "name": "rank", "value": "3"}, 7),
        made.metadata("PR", {"hhash": "00", "name": "core_affinity", "value": [0, 1]}, 7),
        made.metadata("PR", {"hhash": "00", "name": "rank", "value": "no number"}, 8),
    ]
    calls = [made.call("write", "POSIX", 1_000, 1, process=process) for process in (7, 8)]
    traces = read_traces([made.write(tmp_path / "d.pfw.gz", calls, before=lines)])
    (job,) = jobs(traces)
    assert (job.size, job.ranks, job.missing) == (None, {3: ("node",)}, ())
    assert job.described() == "ranks: 1 rank on 1 node"


def test_ranges() -> None:
    assert ranges([7, 0, 1, 2, 4, 5]) == "0-2, 4-5, 7"
    assert ranges([]) == ""


def test_a_size_that_no_job_has(made: ModuleType, tmp_path: Path) -> None:
    lines = [line for line in about(made, 100, 1) if line["args"]["name"] != "size"]
    lines.append(made.metadata("PR", {"hhash": "00", "name": "size", "value": str(2**32 - 17)}, 100))
    calls = [made.call("write", "POSIX", 1000, 1, process=100)]
    (job,) = jobs(read_traces([made.write(tmp_path / "run.pfw.gz", calls, before=lines)]))
    assert (job.size, job.missing) == (None, ())
