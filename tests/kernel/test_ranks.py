"""Ranks of processes, from the environments that real launchers, and none, give them."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from datacrumbs import client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.testing import Installation, RunningDaemon, TraceLines

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

WRITES = (23, 41, 67)
SITE = "capture_probes:\n  - {provider: sys, preset: data}\n"
LAUNCHERS = {
    "openmpi": ("OMPI_COMM_WORLD_RANK", "mpirun.openmpi", "--allow-run-as-root", "--oversubscribe"),
    "pmi": ("PMI_RANK", "mpirun.mpich"),
}
SECONDS = 300.0
PIECE = 2048
"""Bytes of an environment that the kernel side reads at once."""
PLAIN = {"PATH": os.environ["PATH"], "DATACRUMBS_RUN_ID": ""}


@pytest.fixture(scope="module")
def data_probes(installation: Installation) -> Path:
    return installation.probes(SITE)


@pytest.fixture(scope="module")
def static(build: Callable[..., Path]) -> Path:
    return build("ranks.c", "-static", name="ranks_static")


def ranks(trace: TraceLines) -> dict[int, dict[str, str]]:
    """Process -> what its lines say of its rank."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for line in trace.metadata:
        if line["name"] == "PR" and line["args"]["name"] != "cmd_hash":
            found[line["pid"]][line["args"]["name"]] = line["args"]["value"]
    return found


def writes(trace: TraceLines) -> Counter[tuple[str, str]]:
    """Writes by rank, and by the last part of the file's name."""
    known = ranks(trace)
    return Counter(
        (known.get(call["pid"], {}).get("rank", "none"), trace.file(call).rpartition("/")[2])
        for call in trace.named("write")
        if "/made/" in trace.file(call)
    )


def made(directory: Path) -> Path:
    place = directory / "made"
    place.mkdir()
    return place


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_each_rank_has_its_calls(
    installation: Installation, data_probes: Path, build: Callable[..., Path], tmp_path: Path, launcher: str
) -> None:
    variable, *command = LAUNCHERS[launcher]
    with installation.daemon(data_probes) as daemon:
        done = daemon.wrap(*command, "-n", "3", build("ranks.c"), variable, made(tmp_path), timeout=SECONDS)
        assert done.returncode == 0
        trace = daemon.lines()
    assert writes(trace) == {(str(rank), str(rank)): count for rank, count in enumerate(WRITES)}
    known = [each for each in ranks(trace).values() if "rank" in each]
    assert sorted((each["rank"], each["local_rank"]) for each in known) == [("0", "0"), ("1", "1"), ("2", "2")]
    assert {(each["size"], each["launcher"]) for each in known} == {("3", launcher)}
    names = Counter(line["args"]["name"] for line in trace.metadata if line["name"] == "process_name")
    assert {f"ranks (rank {rank})" for rank in range(3)} <= names.keys()


def by_hand(daemon: RunningDaemon, command: list[str | Path], **variables: str) -> None:
    environment = {**PLAIN, **variables, "DATACRUMBS_RUN_ID": daemon.run_id}
    assert daemon.wrap(*command, env=environment, timeout=SECONDS).returncode == 0


def test_a_static_program_with_variables_set_by_hand(
    installation: Installation, data_probes: Path, static: Path, tmp_path: Path
) -> None:
    place = made(tmp_path)
    with installation.daemon(data_probes) as daemon:
        for task in range(3):
            step = {"SLURM_STEP_ID": "7", "SLURM_NTASKS": "3", "SLURM_JOB_ID": "4711", "SLURM_LOCALID": "0"}
            # What a reader of pieces could stumble over: values that end with a piece, and what looks like a variable
            # in the middle of a value, where a piece begins.
            long = {f"LONG_{size}": "v" * (size - len("LONG_1234=")) for size in range(PIECE - 3, PIECE + 3)}
            hidden = {"HIDDEN": "v" * (PIECE - 1 - len("HIDDEN=")) + "PMI_RANK=11"}
            secret = {"SLURM_JWT": "confidential", "PMI_RANK_SECRET": "confidential"}
            variables = {**long, **hidden, **secret, **step, "SLURM_PROCID": str(task), "LAST": ""}
            by_hand(daemon, [static, "SLURM_PROCID", place], **variables)
        trace = daemon.lines()
        text = gzip.decompress(daemon.trace.read_bytes())
    assert writes(trace) == {(str(rank), str(rank)): count for rank, count in enumerate(WRITES)}
    known = sorted(ranks(trace).values(), key=lambda each: each["rank"])
    expected = {"local_rank": "0", "size": "3", "job_id": "4711", "step": "7", "launcher": "slurm"}
    assert known == [{"rank": str(rank), **expected} for rank in range(3)]
    assert b"confidential" not in text
    assert b"4711\\u0000" not in text


def test_programs_that_a_rank_executes_are_of_that_rank(
    installation: Installation, data_probes: Path, static: Path, tmp_path: Path
) -> None:
    place = made(tmp_path)
    script = f"{static} PMI_RANK {place}; env -i {static} PMI_RANK {place}; exec env -i {static} PMI_RANK {place}"
    with installation.daemon(data_probes) as daemon:
        by_hand(daemon, ["sh", "-c", script], PMI_RANK="1", PMI_SIZE="3")
        trace = daemon.lines()
    assert writes(trace) == {("1", "1"): WRITES[1], ("1", "none"): 2 * WRITES[0]}


def test_a_program_that_marks_itself_has_its_rank(
    installation: Installation, data_probes: Path, build: Callable[..., Path], tmp_path: Path
) -> None:
    place = made(tmp_path)
    with installation.daemon(data_probes) as daemon:
        environment = {**PLAIN, "LD_PRELOAD": str(client.client_library()), "DATACRUMBS_RUN_ID": daemon.run_id}
        for task in range(3):
            command = [build("ranks.c"), "FLUX_TASK_RANK", place]
            flux = {"FLUX_JOB_ID": "ƒ2bGvRkQe", "FLUX_JOB_SIZE": "3", "FLUX_TASK_RANK": str(task)}
            subprocess.run(command, check=True, env={**environment, **flux}, timeout=SECONDS)
        trace = daemon.lines()
    assert writes(trace) == {(str(rank), str(rank)): count for rank, count in enumerate(WRITES)}
    assert {each["job_id"] for each in ranks(trace).values()} == {"f2bGvRkQe"}


def test_without_variables_nothing_is_said(
    installation: Installation, data_probes: Path, static: Path, tmp_path: Path
) -> None:
    with installation.daemon(data_probes) as daemon:
        by_hand(daemon, [static, "PMI_RANK", made(tmp_path)], PMI_RANKS="3", XPMI_RANK="3")
        trace = daemon.lines()
    assert writes(trace) == {("none", "none"): WRITES[0]}
    assert ranks(trace) == {}


def test_a_trace_has_its_nodes_clocks(
    installation: Installation, data_probes: Path, static: Path, tmp_path: Path
) -> None:
    """Read by the process that writes, which has no privileges and may call little."""
    with installation.daemon(data_probes) as daemon:
        by_hand(daemon, [static, "PMI_RANK", made(tmp_path)])
        trace = daemon.lines()
    clocks = [line["args"] for line in trace.metadata if line["name"] == "datacrumbs_clock"]
    assert [clock["at"] for clock in clocks] == ["begin", "end"]
    offsets = [clock["realtime_ns"] - clock["monotonic_ns"] - clock["epoch_offset_ns"] for clock in clocks]
    assert all(abs(offset) < 1_000_000 for offset in offsets)
    assert {clock["state"] for clock in clocks} <= {"synchronised", "unsynchronised"}
    assert all(clock["max_error_us"] >= 0 for clock in clocks)
