"""Shifted clocks are found from collective calls, within the bound that is stated."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.report.collectives import align
from datacrumbs.report.node_clocks import clocks_of
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

RANKS, OPENS = 3, 23
BEGIN = 1_790_000_000_000_000
FILES = {"00000000000000b1": "/shared/first", "00000000000000b2": "/shared/second"}


def opens(made: ModuleType, randomness: random.Random) -> dict[int, list[dict[str, Any]]]:
    """Rank -> its opens: all enter at some time, and leave after the last has entered."""
    calls: dict[int, list[dict[str, Any]]] = {rank: [] for rank in range(RANKS)}
    now = BEGIN
    for number in range(OPENS):
        entries = {rank: now + randomness.randrange(1, 500) for rank in calls}
        last = max(entries.values())
        for rank, entered in entries.items():
            left = last + randomness.randrange(1, 90)
            fhash = list(FILES)[number % 2]
            about = {"process": 100 + rank, "fhash": fhash}
            calls[rank].append(made.call("MPI_File_open", "MPIIO", entered, left - entered, **about))
        now = last + 1_000
    return calls


def traces(made: ModuleType, directory: Path, shifts: dict[str, int], seed: int = 7) -> list[Path]:
    """One rank on each node, whose clocks are wrong by these."""
    calls = opens(made, random.Random(seed))
    paths = []
    for rank, (host, shift) in enumerate(shifts.items()):
        own = [{**call, "ts": call["ts"] + shift} for call in calls[rank]]
        paths.append(made.write(directory / f"{host}.pfw.gz", own, FILES, host=host, run_id=host))
    return paths


@pytest.mark.parametrize("seed", range(7))
def test_shifts_are_found(made: ModuleType, tmp_path: Path, seed: int) -> None:
    shifts = {"a": 0, "b": 1_500_007, "c": -86_400_000_011}
    read = read_traces(traces(made, tmp_path, shifts, seed))
    found = align(read, clocks_of(read.files))
    assert found
    assert found.calls == OPENS
    assert found.bound_us < 500
    for host, shift in shifts.items():
        assert abs(found.shifts_us[host] + shift) <= found.bound_us
    # Afterwards none leaves before all have entered, but for the bound.
    frame = read.calls.collect().sort("pid", "ts")
    by_rank = [frame.filter(pid=100 + rank).select("ts", "end").rows() for rank in range(RANKS)]
    for each in zip(*by_rank, strict=True):
        assert max(begin for begin, _ in each) <= min(end for _, end in each) + found.bound_us


def test_the_command_states_the_bound(made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(path) for path in traces(made, tmp_path, {"a": 0, "b": 1_000_003, "c": 0})]
    assert COMMAND.run([*paths, "--by", "node", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert COMMAND.run([*paths, "--by", "node", "--json", "--align", "mpi"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert (before["clocks"]["bound_us"], before["clocks"]["by"]) == (None, "")
    assert after["clocks"]["by"] == f"{OPENS} collective calls of MPI"
    assert max(row["begin_us"] for row in before["nodes"]) > 999_000
    assert max(row["begin_us"] for row in after["nodes"]) <= 500 + 2 * after["clocks"]["bound_us"]


def test_calls_that_contradict_each_other_are_refused(made: ModuleType, tmp_path: Path) -> None:
    paths = traces(made, tmp_path, {"a": 0, "b": 0, "c": 0})
    times = {"a": (0, 100, 9_000), "b": (0, 7_000, 9_000)}  # the second open of one is over when the other's begins
    for path, (host, begins) in zip(paths, times.items(), strict=False):
        own = [made.call("MPI_File_open", "MPIIO", BEGIN + begin, 10, fhash=next(iter(FILES))) for begin in begins]
        made.write(path, own, FILES, host=host, run_id=host)
    read = read_traces(paths[:2])
    with pytest.raises(DatacrumbsError, match="contradict each other") as caught:
        align(read, clocks_of(read.files))
    assert caught.value.exit_code == ExitCode.FAILED


def test_nodes_without_such_calls_are_named(made: ModuleType, tmp_path: Path) -> None:
    paths = traces(made, tmp_path, {"a": 0, "b": 0, "c": 0})
    made.write(paths[2], [made.call("write", "POSIX", BEGIN, 7, bytes=1)], host="c", run_id="c")
    read = read_traces(paths)
    with pytest.raises(DatacrumbsError, match="nodes a and c have no collective MPI_File_open in common"):
        align(read, clocks_of(read.files))
