"""A probe changes nothing that an instruction computes: a function for each form of instruction, bare and probed.

Each form runs in a process of its own, from given registers, vectors, flags and memory, and what it leaves is compared
byte by byte, its signals included. Forms that the rule refuses are not run: the kernel may do anything with them.
"""

from __future__ import annotations

import platform
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.discovery.elf import elf_functions, elf_target
from datacrumbs.discovery.execution import Execution
from datacrumbs.discovery.placement import probe_skips, refused_places
from datacrumbs.discovery.x86_execution import x86_execution
from datacrumbs.probefile.plan import Attach, Function, Group, Plan, Returns

from .conftest import PROGRAMS, Tracer
from .forms import Form, build, instruction_forms

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions are those of x86-64"),
]

ENDBR64 = 4
RECORD = np.dtype(
    [
        *((name, "<u8") for name in ("form", "state", "status")),
        ("general", "<u8", 16),
        *((name, "<u8") for name in ("flags", "way", "signal", "signal_code", "signal_address")),
        ("signal_registers", "<u8", 23),
        *(("memory", "u1", 0x800), ("stack", "u1", 0x100), ("area", "u1", 0x100), ("unused", "u1", 8)),
        ("vectors", "u1", 0xB00),
    ]
)
CHANCE = ("rdrand", "rdseed", "rdtsc", "rdtscp", "cpuid", "rdpid")
"""What they leave is another thing each time."""
LAST_INSTRUCTION = slice(6, 24)
"""Of the vectors: the address of the last floating-point instruction, which is elsewhere when it was stepped."""
TRAP, LAST_FAULT = 20, 22
"""Of a signal's registers: the number of the trap, which the kernel keeps to itself while it steps, and the address of
the thread's last page fault, which may be any before."""


@pytest.fixture(scope="module")
def forms() -> list[Form]:
    found = [form for form in instruction_forms() if isinstance(_execution(form), Execution)]
    assert len(found) > 5000
    assert len({form.mnemonic for form in found}) > 800
    return found


@pytest.fixture(scope="module")
def emulated(forms: list[Form]) -> list[Form]:
    found = [form for form in forms if _execution(form) is Execution.EMULATED]
    assert {form.mnemonic for form in found} >= {"push", "nop", "jmp", "je", "jno", "jg"}
    return found


@pytest.fixture(scope="module")
def members(forms: list[Form], emulated: list[Form]) -> list[Form]:
    return [*forms, *emulated]


@pytest.fixture(scope="module")
def program(forms: list[Form], emulated: list[Form], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("forms"), PROGRAMS / "forms.c", forms, emulated)


def _execution(form: Form) -> object:
    return x86_execution(form.code + bytes(8))


def plan_of(program: Path) -> Plan:
    """Each form at its start, and each with an instruction before it at the place to which its probe is moved."""
    names = {each.offset: each.name for each in elf_functions(program) if each.name.startswith(("form_", "moved_"))}
    moved = {offset: frozenset[int]() for offset, name in names.items() if name.startswith("moved_")}
    with program.open("rb") as stream:
        skips = probe_skips(stream, moved)
        assert refused_places(stream, names) == {}
    assert skips == dict.fromkeys(moved, ENDBR64)
    functions = [
        Function(name, name, "X", offset, returns=Returns.NEVER, skip=skips.get(offset, 0))
        for offset, name in sorted(names.items(), key=lambda each: _order(each[1]))
    ]
    return Plan((), (Group("layer", "layer", Attach.UPROBE, elf_target(program), tuple(functions)),))


def _order(name: str) -> tuple[str, int]:
    kind, _, number = name.partition("_")
    return kind, int(number)


def records(path: Path) -> np.ndarray:
    found = np.fromfile(path, RECORD)
    found["vectors"][:, LAST_INSTRUCTION] = 0
    found["signal_registers"][:, [TRAP, LAST_FAULT]] = 0
    return found


def test_every_form_leaves_what_it_leaves_bare(
    program: Path, members: list[Form], engine_state: Path, configuration: SystemConfiguration, tmp_path: Path
) -> None:
    command = ["setarch", "-R", str(program)]
    subprocess.run([*command, tmp_path / "bare"], check=True)
    plan = plan_of(program)
    tracer = Tracer(plan, engine_state, configuration)
    try:
        assert not tracer.report.failures
        assert tracer.run(*command, str(tmp_path / "probed")).status == 0
        entered = np.array([each.entered for each in tracer.engine.counts()])
    finally:
        tracer.engine.close()
    bare, probed = records(tmp_path / "bare"), records(tmp_path / "probed")
    assert len(members) == len(plan.functions)
    # One call each time: an instruction that is executed once is not counted twice.
    runs = np.bincount(bare["form"].astype(np.int64))
    assert [(members[at].text, int(entered[at])) for at in np.flatnonzero(entered != runs)] == []
    different = {name: [] for name in RECORD.names}
    by_chance = np.isin(bare["form"], [index for index, form in enumerate(members) if form.mnemonic in CHANCE])
    for name in RECORD.names:
        unequal = (bare[name] != probed[name]).reshape(len(bare), -1).any(axis=1)
        unequal &= ~by_chance if name == "general" else True
        different[name] = [(members[bare["form"][at]].text, int(bare["state"][at])) for at in np.flatnonzero(unequal)]
    assert different == {name: [] for name in RECORD.names}
