"""Python packages as PyPI has them: h5py with an HDF5 of its own, and mpi4py, which looks for an MPI by name."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.functions import elf_functions

from ..conftest import python_environment  # noqa: TID252
from .conftest import COMMANDS, PROGRAMS
from .test_late import notes, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from datacrumbs.testing import Installation, RunningDaemon, TraceLines

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

CACHE = Path(os.environ.get("DATACRUMBS_WHEELS", Path(__file__).parents[2] / ".cache/wheels"))
H5PY, MPI4PY, MPICH = "h5py==3.16.0", "mpi4py==4.1.2", "mpich==5.0.2"
SITE = "capture_probes:\n  - {{provider: hdf5, preset: {preset}}}\n  - {{provider: mpi, preset: {preset}}}\n"
SECONDS = 300.0
# What the programs do to their files, by the last part of a name: writes, reads, openings for reading.
H5PY_FILES = {"first.h5": (7, 33, 3), "second.h5": (13, 10, 2)}
MPI_FILES = {"first": (7, 11), "second": (13, 5)}
# h5py and mpi4py call these; the others of these names are never called.
COMPARED = re.compile(r"H5[DFGO][a-z]\w*|H5Idec_ref|MPI_File_\w+")


@pytest.fixture(scope="module")
def environment() -> Path:
    """HDF5, mpi4py and an MPI, all from wheels."""
    return python_environment(CACHE / "all", H5PY, MPI4PY, MPICH)


@pytest.fixture
def copy(environment: Path, shared_directory: Path) -> Iterator[Path]:
    """Another environment with the same packages."""
    place = shared_directory / "another_environment"
    yield Path(shutil.copytree(environment, place, symlinks=True))
    shutil.rmtree(place)


def library(environment: Path, pattern: str) -> Path:
    (found,) = environment.glob(pattern)
    return found


def libraries(environment: Path) -> dict[str, Path]:
    """By provider."""
    return {
        "hdf5": library(environment, "lib/python3*/site-packages/h5py.libs/libhdf5-*"),
        "mpi": library(environment, "lib/libmpi.so.12"),
    }


# Runs a program to its end; where it waits, it goes on when `ready` returns.
def run(
    environment: Path,
    program: str,
    directory: Path,
    *,
    launcher: Sequence[str | Path] = (),
    ready: Callable[[], object] = lambda: None,
    **variables: str,
) -> str:
    command = [COMMANDS / "datacrumbs_wrap", *launcher, environment / "bin/python", PROGRAMS / program, directory]
    environ = {**os.environ, **variables}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout
        said = process.stdout.readline()
        ready()
        process.communicate("\n", SECONDS)
    assert process.returncode == 0
    return said


def run_both(environment: Path, directory: Path) -> None:
    run(environment, "wheel_h5py.py", directory)
    assert run(environment, "wheel_mpi4py.py", directory).startswith("MPICH")


def by_file(trace: TraceLines, directory: Path, name: str) -> Counter[str]:
    """Calls of a function by their files, which are all in the directory."""
    return Counter(str(Path(trace.file(call)).relative_to(directory)) for call in trace.named(name))


def check_h5py(trace: TraceLines, directory: Path, *, opens: bool) -> None:
    for position, name in enumerate(("H5Dwrite", "H5Dread", *(["H5Fopen"] if opens else []))):
        assert by_file(trace, directory, name) == {file: row[position] for file, row in H5PY_FILES.items()}


def check_mpi4py(trace: TraceLines, directory: Path, suffix: str, *, ranks: int = 1, opens: bool) -> None:
    files = {f"{file}.{rank}": row for file, row in MPI_FILES.items() for rank in range(ranks)}
    for position, verb in enumerate(("write", "read")):
        name = f"MPI_File_{verb}_at{suffix}"
        assert by_file(trace, directory, name) == {file: row[position] for file, row in files.items()}
        assert {call["args"]["bytes"] for call in trace.named(name)} == {1009}
    for name in ("MPI_File_open", "MPI_File_close"):
        assert by_file(trace, directory, name) == (dict.fromkeys(files, 1) if opens else {})


def is_complete(daemon: RunningDaemon) -> bool:
    done = subprocess.run(
        [COMMANDS / "datacrumbs_report", "--json", daemon.trace], capture_output=True, text=True, check=True
    )
    (trace,) = json.loads(done.stdout)["traces"]
    return bool(trace["complete"])


# What bpftrace counts meanwhile, by function: a dictionary that is filled when the block ends.
@contextmanager
def counted_by_bpftrace(*files: Path) -> Iterator[dict[str, int]]:
    probes = {
        f"uprobe:{file}:{name}"
        for file in files
        for function in elf_functions(file)
        for name in (function.name, *function.aliases)
        if COMPARED.fullmatch(name)
    }
    script = f'BEGIN {{ printf("ready\\n"); }} {",".join(sorted(probes))} {{ @[probe] = count(); }}'
    counts: dict[str, int] = {}
    variables = {**os.environ, "BPFTRACE_MAX_PROBES": "4096"}
    command = ["bpftrace", "-f", "json", "-e", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        try:
            assert process.stdout
            while "ready" not in (line := process.stdout.readline()):
                assert line, "bpftrace ended"
            yield counts
        finally:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=SECONDS)
    for line in output.splitlines():
        if line and (said := json.loads(line))["type"] == "map":
            counts.update({probe.rpartition(":")[2]: number for probe, number in said["data"]["@"].items()})


def entered(trace: TraceLines) -> dict[str, int]:
    return {name: row["entered"] for name, row in trace.counts.items() if row["entered"] and COMPARED.fullmatch(name)}


def check_both(trace: TraceLines, daemon: RunningDaemon, directory: Path) -> None:
    check_h5py(trace, directory, opens=True)
    check_mpi4py(trace, directory, "_c", opens=True)
    assert (trace.footer["files_late"], trace.footer["files_not_probed"]) == (0, 0)
    assert is_complete(daemon)


def test_the_plan_of_a_program_has_what_its_environment_bundles(
    installation: Installation, environment: Path, tmp_path: Path
) -> None:
    """Every function is counted as bpftrace counts it."""
    probes = installation.probes(SITE.format(preset="all"), "--program", str(environment / "bin/python"))
    found = libraries(environment)
    with installation.daemon(probes) as daemon, counted_by_bpftrace(found["hdf5"], found["mpi"]) as counts:
        run_both(environment, tmp_path)
        trace = daemon.lines()
    check_both(trace, daemon, tmp_path)
    assert entered(trace) == counts


def test_the_plan_of_an_active_environment_has_what_it_bundles(
    installation: Installation, environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", str(environment))
    with installation.daemon(installation.probes(SITE.format(preset="io"))) as daemon:
        run_both(environment, tmp_path)
        trace = daemon.lines()
    check_both(trace, daemon, tmp_path)


def test_transfers_alone_have_their_files(installation: Installation, environment: Path, tmp_path: Path) -> None:
    """What opens and closes the files is followed: H5Idec_ref, and MPI_File_open before it."""
    probes = installation.probes(SITE.format(preset="data"), "--program", str(environment / "bin/python"))
    with installation.daemon(probes) as daemon:
        run(environment, "wheel_h5py.py", tmp_path)
        launcher = [environment / "bin/mpiexec", "-n", "2"]
        assert run(environment, "wheel_mpi4py.py", tmp_path, launcher=launcher).startswith("MPICH")
        trace = daemon.lines()
    check_h5py(trace, tmp_path, opens=False)
    check_mpi4py(trace, tmp_path, "_c", ranks=2, opens=False)
    assert trace.footer["recorded"] == len(trace.calls)
    assert is_complete(daemon)


def test_an_environment_that_the_plan_does_not_know(
    installation: Installation, environment: Path, tmp_path: Path
) -> None:
    """The plan has the system's libraries. Each of the wheels' with a selected function is said to be missing."""
    with installation.daemon(installation.probes(SITE.format(preset="io"))) as daemon:
        run_both(environment, tmp_path)
        trace = daemon.lines()
    found = libraries(environment)
    said = Counter((note["file"], note["provider"]) for note in notes(trace, "not_probed"))
    assert said == {(str(found[name]), name): 1 for name in ("hdf5", "mpi")}
    assert not trace.calls
    assert not is_complete(daemon)


def test_another_environment_with_the_same_packages(
    installation: Installation, environment: Path, copy: Path, tmp_path: Path
) -> None:
    """What has a build-id is known by it, and exact from when its probes are there; MPICH's wheel has none."""
    probes = installation.probes(SITE.format(preset="io"), "--program", str(environment / "bin/python"))
    found = libraries(copy)
    with installation.daemon(probes) as daemon:
        run(copy, "wheel_h5py.py", tmp_path, ready=lambda: wait_for(daemon, "probed late"))
        run(copy, "wheel_mpi4py.py", tmp_path)
        trace = daemon.lines()
    check_h5py(trace, tmp_path, opens=True)
    assert [note["file"] for note in notes(trace, "probed_late")] == [str(found["hdf5"])]
    (note,) = notes(trace, "not_probed")
    assert (note["file"], note["provider"]) == (str(found["mpi"]), "mpi")
    assert "build-id" in note["reason"]
    assert not trace.tally("MPI")
    assert not is_complete(daemon)


@pytest.mark.parametrize("way", ["named", "unknown"])
def test_the_systems_mpi(installation: Installation, tmp_path: Path, way: str) -> None:
    """Two ranks of mpi4py's wheel over Debian's Open MPI, which no ELF file of theirs needs."""
    environment = python_environment(CACHE / "mpi4py", MPI4PY)
    options = ["--program", str(environment / "bin/python")] if way == "named" else []
    site = "capture_probes:\n  - {provider: mpi, preset: io}\n"
    launcher = ["mpirun.openmpi", "-n", "2", "--allow-run-as-root", "--oversubscribe"]
    with installation.daemon(installation.probes(site, *options)) as daemon:
        said = run(environment, "wheel_mpi4py.py", tmp_path, launcher=launcher, MPI4PY_LIBMPI="libmpi.so.40")
        trace = daemon.lines()
    assert said.startswith("Open MPI v4")
    check_mpi4py(trace, tmp_path, "", ranks=2, opens=True)
    assert (trace.footer["files_late"], trace.footer["files_not_probed"]) == (0, 0)
    assert is_complete(daemon)
