"""What a selection leaves out and its calls need: followed, counted, and not written."""

from __future__ import annotations

import shlex
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.site import ProviderEntry

from .conftest import Trace, Tracer, composed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def tracer(engine_state: Path, configuration):
    """An engine for what moves data of HDF5 files and streams."""
    with Tracer(
        composed(*(ProviderEntry(name, preset="data") for name in ("hdf5", "posix"))), engine_state, configuration
    ) as tracer:
        yield tracer


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chosen")


@pytest.fixture(scope="module")
def trace(tracer: Tracer, build: Callable[..., Path], directory: Path) -> Trace:
    trace = tracer.run(str(build("chosen.c", "-I/usr/include/hdf5/serial", "-lhdf5_serial")), str(directory))
    assert trace.status == 0
    return trace


def _files(trace: Trace, directory: Path, name: str) -> Counter[str]:
    return Counter(trace.path(call["file"]).removeprefix(f"{directory}/") for call in trace.named(name))


def test_calls_that_move_data_have_their_files(trace: Trace, directory: Path) -> None:
    assert _files(trace, directory, "H5Dwrite") == {"first.h5": 7, "second.h5": 13}
    assert _files(trace, directory, "H5Dread") == {"first.h5": 11, "second.h5": 5}
    sizes = {int(call["result"]): trace.path(call["file"]) for call in trace.named("fwrite")}
    assert {101, 103} <= sizes.keys()
    assert {sizes[size] for size in (101, 103)} == {str(directory / "stream")}


def test_helpers_are_counted_and_not_written(trace: Trace, tracer: Tracer) -> None:
    helpers = {function.name for group in tracer.plan.groups if group.helper for function in group.functions}
    assert {"H5Fcreate", "H5Dcreate2", "H5Idec_ref", "H5Fclose", "fopen", "fclose"} <= helpers
    assert not any(trace.count(name) for name in helpers)
    functions = tracer.plan.functions
    counts = list(zip(functions, tracer.engine.counts(), strict=True))
    assert all(count.balanced for _, count in counts)
    followed = Counter()
    for function, count in counts:
        if function.name in helpers:
            followed[function.name] += count.causes.get("filtered_helper", 0)
            assert count.entered == count.filtered == count.causes.get("filtered_helper", 0)
        else:
            assert "filtered_helper" not in count.causes
    assert (followed["H5Fcreate"], followed["H5Idec_ref"], followed["H5Dclose"], followed["H5Fclose"]) == (2, 1, 1, 2)


@pytest.mark.parametrize("flavour", ["openmpi", "mpich"])
def test_transfers_of_mpi_have_their_files(
    flavour: str, build: Callable[..., Path], engine_state: Path, configuration, tmp_path: Path
) -> None:
    shown = subprocess.run([f"mpicc.{flavour}", "-show"], check=True, capture_output=True, text=True).stdout
    program = build("chosen_mpi.c", *shlex.split(shown)[1:], name=f"chosen_{flavour}")
    with Tracer(composed(ProviderEntry("mpi", preset="data")), engine_state, configuration) as tracer:
        trace = tracer.run(str(program), str(tmp_path), timeout=300)
        assert trace.status == 0
        assert _files(trace, tmp_path, "MPI_File_write") == {"first": 7, "second": 11}
        assert not trace.count("MPI_File_open")


def test_a_selected_function_is_no_helper() -> None:
    plan = composed(ProviderEntry("hdf5", preset="all"))
    assert not any(group.helper for group in plan.groups)
