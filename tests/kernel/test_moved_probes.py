"""Probes that were moved see what probes at the start see: every call, with its arguments and its result.

Each function has two probes in one run, one at its start and one where it is moved to. So the
two see the same calls, whatever addresses and times these have.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs import client
from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.elf.loader_cache import read_loader_cache
from datacrumbs.elf.placement import probe_skips
from datacrumbs.elf.returns_by_name import returns_by_name
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Returns
from datacrumbs.model.record import FIRST_KIND, CallFlag

from .conftest import Tracer

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel

REGISTERS = tuple(Argument(index, f"a{index}", "long") for index in range(6))
SHELL = """
ls -lR /usr/include/linux/netfilter > list
sort -k5n list | uniq -c | tail -3
tar cf linux.tar -C /usr/include linux/netfilter
gzip -1 < linux.tar > linux.tgz
find / -maxdepth 2 -newer list > /dev/null
sqlite3 d.db 'create table t(a, b); insert into t values(1, date()); select * from t'
/usr/bin/python3 -c '
import json, subprocess, socket, time
print(time.strftime("%c"), json.dumps([1.5]))
subprocess.run(["true"])
socket.gethostbyname("localhost")
'
"""
HDF5 = """
import h5py, sys
with h5py.File(sys.argv[1], "w") as file:
    group = file.create_group("a/b")
    data = group.create_dataset("chunked", (64, 64), "f8", chunks=(16, 16), compression="gzip", maxshape=(None, 64))
    data[:] = 7
    data.resize((96, 64))
    data.attrs["unit"] = "m"
    file["link"] = h5py.SoftLink("/a/b/chunked")
    file.create_dataset("text", data=["one", "two"])
    file.create_dataset("compound", (5,), [("x", "i4"), ("y", "f8")])
    file.copy("a", "copy")
    del file["copy"]
with h5py.File(sys.argv[1], "r") as file:
    names = []
    file.visit(names.append)
    assert file["link"][3, 5] == 7 and len(names) == 5
"""


def doubled(library: Path) -> Plan:
    """Each function that can be moved, unmoved and moved."""
    symbols = {each.offset: each for each in elf_functions(library) if not each.ifunc}
    with library.open("rb") as stream:
        skips = probe_skips(stream, dict.fromkeys(symbols, frozenset(range(6))))
    functions: list[Function] = []
    for offset, skip in sorted(skips.items()):
        symbol = symbols[offset]
        returns = returns_by_name([symbol.name, *symbol.aliases])
        start = Function(symbol.name, symbol.name, "X", offset, arguments=REGISTERS, returns=returns)
        functions += [start, replace(start, skip=skip)]
    return Plan((), (Group("layer", "layer", Attach.UPROBE, elf_target(library), tuple(functions)),))


def run(tracer: Tracer, *command: str, cwd: Path) -> np.ndarray:
    parts = [tracer.drain()]
    with subprocess.Popen([client.launcher(), *command], cwd=cwd, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            parts.append(tracer.drain())
            time.sleep(0.01)
    assert process.returncode == 0, command
    calls = np.concatenate([*parts, tracer.drain()])
    calls = calls[calls["function"] < FIRST_KIND]
    return calls[np.argsort(calls["thread"], kind="stable")]  # within a thread as they returned


def check(tracer: Tracer, calls: np.ndarray) -> int:
    """Compare the two probes of each function; gives how many functions were called."""
    counts = tracer.engine.counts()
    reached = 0
    for index, function in enumerate(tracer.plan.functions[::2]):
        start, moved = counts[2 * index], counts[2 * index + 1]
        assert start.entered == moved.entered, function.symbol
        assert start.balanced
        assert moved.balanced
        assert (start.lost, start.unmatched) == (moved.lost, moved.unmatched), function.symbol
        first, second = calls[calls["function"] == 2 * index], calls[calls["function"] == 2 * index + 1]
        assert len(first) == len(second) == start.recorded, function.symbol
        reached += len(first) > 0
        for column in ("thread", "values", "result"):
            np.testing.assert_array_equal(first[column], second[column], function.symbol)
        if function.returns is Returns.PROBED:
            assert (first["flags"] & CallFlag.RETURNED != 0).all()
            assert (first["start"] <= second["start"]).all()
    return reached


@pytest.fixture
def double(engine_state: Path, configuration: SystemConfiguration):
    made = []

    def tracer(name: str) -> Tracer:
        made.append(Tracer(doubled(read_loader_cache()[name][0].resolve()), engine_state, configuration))
        return made[-1]

    yield tracer
    for each in made:
        each.engine.close()


def test_libc(double, tmp_path: Path) -> None:
    tracer = double("libc.so.6")
    calls = run(tracer, "/bin/bash", "-c", SHELL, cwd=tmp_path)
    assert check(tracer, calls) >= 30


def test_hdf5(double, tmp_path: Path) -> None:
    tracer = double("libhdf5_serial.so.103")
    parts = []
    for command in (
        ["/usr/bin/python3", "-c", HDF5, "x.h5"],
        ["h5repack", "-f", "GZIP=1", "x.h5", "y.h5"],
        ["h5dump", "y.h5"],
        ["h5diff", "x.h5", "y.h5"],
        ["h5ls", "-rv", "y.h5"],
    ):
        parts.append(run(tracer, *command, cwd=tmp_path))
        assert len(parts[-1]), command
    assert check(tracer, np.concatenate(parts)) >= 150
