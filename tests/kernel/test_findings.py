"""Each fault is found in the program that has it, and in no twin that does the same work without it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import COMMANDS, NOBODY, PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel

SITE = """
capture_probes:
  - provider: sys
  - provider: posix
    preset: stdio
"""
FAULTS = (
    *("small-writes", "small-reads", "random-reads", "random-writes", "metadata-storm", "reopened-files"),
    *("sync-per-write", "redundant-reads", "wasted-seeks", "repeated-failures", "stdio-buffer"),
    "unaligned-requests",
)


@pytest.fixture(scope="module")
def report(
    installation: Installation, build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The report of one run of all programs, each with a name of its own."""
    place = tmp_path_factory.mktemp("faults")
    (place / "data").write_bytes(bytes(23 << 20))
    links = tmp_path_factory.mktemp("links")
    # Static: what a dynamic loader reads and maps would be part of the I/O time, and can take long on a busy machine.
    static, dynamic = build("faults.c", "-static", name="faults_static"), build("faults.c")
    with installation.daemon(installation.probes(SITE)) as daemon:
        for fault in FAULTS:
            for name, words in ((fault[:15], ()), (f"ok-{fault}"[:15], ("clean",))):
                link = links / name
                link.symlink_to(dynamic if fault == "stdio-buffer" else static)
                assert daemon.wrap(link, fault, place, *words).returncode == 0
    command = [COMMANDS / "datacrumbs_report", daemon.trace, "--json"]
    document: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document


def test_the_trace_is_judged(report: dict[str, Any]) -> None:
    assert report["traces"][0]["complete"]
    assert set(FAULTS) <= set(report["judged"])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_in_its_program(report: dict[str, Any], fault: str) -> None:
    (finding,) = (each for each in report["findings"] if each["rule"] == fault)
    places = {place["process"]: place for place in finding["places"]}
    assert fault[:15] in places
    assert places[fault[:15]]["share"] >= 0.05


def test_no_twin_has_a_finding(report: dict[str, Any]) -> None:
    places = [(each["rule"], place["process"]) for each in report["findings"] for place in each["places"]]
    assert [each for each in places if each[1].startswith("ok-")] == []


# ---- the rules of providers ----

LAYERS = """
capture_probes:
  - provider: hdf5
    preset: io
  - provider: mpi
    preset: io
  - provider: sys
"""
SERIAL_HDF5 = ("-I/usr/include/hdf5/serial", "-lhdf5_serial")
RANKS = ("mpirun.openmpi", "-n", "2", "--allow-run-as-root", "--oversubscribe")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program for mpirun."""
    program = tmp_path_factory.mktemp("mpi") / "faults_mpi"
    subprocess.run(["mpicc.openmpi", "-O1", "-o", program, PROGRAMS / "faults_mpi.c"], check=True)
    return program


# Root asks no rule of a provider, so the report is made by a user.
def report_of(trace: Path, place: Path) -> dict[str, Any]:
    shutil.copy(trace, place)
    place.chmod(0o644)
    command = [COMMANDS / "datacrumbs_report", place, "--json"]
    done = subprocess.run(command, capture_output=True, check=True, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def of_providers(
    installation: Installation, build: Callable[..., Path], shared_directory: Path, ranks: Path
) -> dict[str, Any]:
    """The report of a run of the programs of HDF5 and MPI."""
    hdf5, place = build("faults_hdf5.c", *SERIAL_HDF5), ranks.parent
    with installation.daemon(installation.probes(LAYERS)) as daemon:
        for words in ((), ("clean",)):
            assert daemon.wrap(hdf5, place / f"hdf5{len(words)}", *words).returncode == 0
            assert daemon.wrap(*RANKS, ranks, place / f"mpi{len(words)}", *words).returncode == 0
    return report_of(daemon.trace, shared_directory / "layers.pfw.gz")


@pytest.mark.parametrize(
    ("rule", "file"), [("hdf5-chunk-cache", "hdf5"), ("mpi-no-collectives", "mpi"), ("mpi-small-shared", "mpi")]
)
def test_rules_of_providers(of_providers: dict[str, Any], rule: str, file: str) -> None:
    assert rule in of_providers["judged"]
    (finding,) = (each for each in of_providers["findings"] if each["rule"] == rule)
    assert {place["path"].rpartition("/")[2] for place in finding["places"]} == {f"{file}0"}
    assert finding["processes"] == (2 if file == "mpi" else 1)


def test_ranks_that_move_as_much_are_no_finding(of_providers: dict[str, Any]) -> None:
    assert "rank-imbalance" in of_providers["judged"]
    assert "rank-imbalance" not in {each["rule"] for each in of_providers["findings"]}


def test_one_rank_moves_more(installation: Installation, shared_directory: Path, ranks: Path) -> None:
    with installation.daemon(installation.probes(LAYERS)) as daemon:
        assert daemon.wrap(*RANKS, ranks, ranks.parent / "uneven", "uneven").returncode == 0
    findings = report_of(daemon.trace, shared_directory / "uneven.pfw.gz")["findings"]
    (place,) = next(each["places"] for each in findings if each["rule"] == "rank-imbalance")
    assert (place["rank"], place["path"]) == (0, f"{ranks.parent}/uneven")
    assert "rank 0 moved 97.0 MiB" in place["evidence"]


@pytest.mark.parametrize("late", [(), ("late",)], ids=["clean", "late"])
def test_one_rank_is_slow(
    installation: Installation, build: Callable[..., Path], tmp_path: Path, late: tuple[str, ...]
) -> None:
    """The same bytes in three processes that say which rank they are; one waits 53 times for 20 ms."""
    program = build("slow_rank.c", "-pthread")
    with installation.daemon(installation.probes(SITE)) as daemon:
        for rank in range(3):
            environment = {**os.environ, "OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "3"}
            words = late if rank == 1 else ()
            assert daemon.wrap(program, tmp_path / f"part{rank}", *words, env=environment).returncode == 0
    command = [COMMANDS / "datacrumbs_report", daemon.trace, "--json"]
    document = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert "slow-rank" in document["judged"]
    found = {each["rule"]: each["places"] for each in document["findings"]}
    assert "rank-imbalance" not in found
    assert ("slow-rank" in found) == bool(late)
    if late:
        (place,) = found["slow-rank"]
        assert (place["rank"], place["path"]) == (1, str(tmp_path / "part1"))
        assert place["time_us"] > 53 * 20_000 - 500_000
        assert "the median of the 2 others took" in place["evidence"]


def test_root_asks_no_rule_of_a_provider(report: dict[str, Any]) -> None:
    assert "providers' code is not run as root to make a report" in [each["reason"] for each in report["not_judged"]]
