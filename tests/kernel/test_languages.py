"""Programs of many languages compute what they computed before, with all their functions probed by our rules."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.configure.candidates import Candidate
from datacrumbs.configure.merge import with_safe_returns
from datacrumbs.configure.placing import place_probes
from datacrumbs.elf.file import open_elf
from datacrumbs.elf.functions import elf_target
from datacrumbs.elf.symbol_tables import file_offsets, is_function, symbol_tables
from datacrumbs.model.plan import Attach, Function, Group, Plan, Returns
from datacrumbs.serving.caller import Caller
from datacrumbs.signer.policy import PolicyRule
from datacrumbs.signer.target_rule import check_targets

from .conftest import PROGRAMS, Tracer

if TYPE_CHECKING:
    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel

LANGUAGES = PROGRAMS / "languages"
SECONDS = 300


@dataclass(frozen=True)
class Program:
    """How a program is compiled, and functions which its plan has: of which only the entries, and of which all."""

    source: str
    compiler: tuple[str, ...]
    entries: dict[str, Returns]
    returns: tuple[str, ...] = ()
    output: str = "-o"


C = ("cc", "-O1", "-pthread")
C_ENTRIES = {"_start": Returns.NOT_CALLED, "_init": Returns.UNDESCRIBED}
C_RETURNS = ("ackermann", "work", "on_signal", "steps", "main")
GO_ENTRIES = {"_rt0_amd64_linux": Returns.NOT_CALLED, "runtime.goexit.abi0": Returns.MOVES, "main.main": Returns.MOVES}
STATIC = {
    **C_ENTRIES,
    "__restore_rt": Returns.NOT_CALLED,
    "__start_context": Returns.NOT_CALLED,
    "_dl_runtime_resolve_xsavec": Returns.NOT_CALLED,
}
CXX_ENTRIES = {"_start": Returns.NOT_CALLED, "main": Returns.THROWS, "pass_plainly": Returns.THROWS}
PROGRAMS_BUILT = {
    "C, dynamic": Program("everything.c", (*C, "-DCONTEXTS"), C_ENTRIES, C_RETURNS),
    "C, static": Program("everything.c", (*C, "-DCONTEXTS", "-static"), STATIC, C_RETURNS),
    "C, static and relocated": Program("everything.c", (*C, "-DCONTEXTS", "-static-pie"), STATIC, C_RETURNS),
    "C, musl": Program(
        "everything.c", ("musl-gcc", "-O1", "-static"), {"_start_c": Returns.NOT_CALLED}, ("ackermann", "work")
    ),
    "assembly": Program("assembly.c", C, {"switch_stack": Returns.UNDESCRIBED, "stack_begins": Returns.UNDESCRIBED}),
    "C++": Program("everything.cc", ("c++", "-O1", "-std=c++17", "-pthread", "-rdynamic"), CXX_ENTRIES),
    "C++, static": Program("everything.cc", ("c++", "-O1", "-std=c++17", "-pthread", "-static"), CXX_ENTRIES),
    "Go": Program("everything.go", ("go", "build"), GO_ENTRIES),
    "Go with C": Program("calls_c.go", ("go", "build"), {"main.main": Returns.MOVES}, ("_cgo_wait_runtime_init_done",)),
    "Rust": Program("everything.rs", ("rustc", "-O"), {"_start": Returns.NOT_CALLED, "pass_on": Returns.THROWS}),
    "Fortran": Program(
        "everything.f90", ("gfortran", "-O1"), C_ENTRIES, ("__shapes_MOD_ackermann", "__shapes_MOD_total")
    ),
    "OCaml": Program(
        "everything.ml",
        ("ocamlopt", "-I", "+threads", "unix.cmxa", "threads.cmxa"),
        {"caml_call_gc": Returns.COLLECTED, "caml_start_program": Returns.COLLECTED},
        ("caml_alloc_small_dispatch",),
    ),
    "Pascal": Program("everything.pas", ("fpc", "-v0", "-Xs-", "-gw"), {"_start": Returns.NOT_CALLED}, output=""),
}


def compiled(program: Program, directory: Path) -> Path:
    source = Path(shutil.copy(LANGUAGES / program.source, directory))
    output = directory / "program"
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOCACHE": str(directory / "cache"),
        "CGO_ENABLED": "01"[program.source == "calls_c.go"],
    }
    where = [program.output, str(output)] if program.output else [f"-o{output}"]
    command = [program.compiler[0], *program.compiler[1:], *where, source.name]
    subprocess.run(command, check=True, cwd=directory, env=environment, capture_output=True, timeout=SECONDS)
    return output


def every_function(path: Path) -> Plan:
    """A plan of all functions of a file, also those that only the file itself sees, as the rules allow it."""
    names: dict[int, str] = {}
    with open_elf(path) as elf:
        for table in symbol_tables(elf):
            rows = table.rows[is_function(table.rows)]
            for address, name in zip(rows["value"].tolist(), table.names(rows), strict=True):
                names.setdefault(address, name)
        addresses = np.array(sorted(names), np.uint64)
        offsets = file_offsets(addresses, elf.loads).tolist()
    target = elf_target(path)
    candidates = [
        Candidate("every", Attach.UPROBE, target, Function(name, name, "X", offset), "every")
        for offset, name in zip(offsets, (names[address] for address in addresses.tolist()), strict=True)
        if offset >= 0
    ]
    safe = with_safe_returns(place_probes(candidates, lambda _: None, move=True))
    functions = tuple(each.function for each in safe)
    assert len(functions) > 0.9 * len(candidates)
    return Plan((), (Group("every", "every", Attach.UPROBE, target, functions),))


@pytest.mark.parametrize("name", list(PROGRAMS_BUILT))
def test_a_program_computes_what_it_computed_before(
    name: str, engine_state: Path, configuration: SystemConfiguration, tmp_path: Path
) -> None:
    program = PROGRAMS_BUILT[name]
    path = compiled(program, tmp_path)
    command = [str(path), str(tmp_path / "argument")]
    bare = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS)
    plan = every_function(path)
    check_targets(plan, Caller(os.getuid(), os.getgid(), os.getpid(), "me", frozenset(), (os.getgid(),)), PolicyRule())
    returns = {function.symbol: function.returns for function in plan.functions}
    assert {each: returns[each] for each in program.entries} == program.entries
    assert {returns[each] for each in program.returns} <= {Returns.PROBED}
    with Tracer(plan, engine_state, configuration) as tracer:
        trace = tracer.run(*command, capture_output=True, timeout=SECONDS)
        counts = tracer.engine.counts()
    assert (trace.output, trace.status) == (bare.stdout, bare.returncode)
    assert all(count.balanced for count in counts)
    assert sum(count.entered for count in counts) > 20
