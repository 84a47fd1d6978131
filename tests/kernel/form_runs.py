"""Runs forms of instructions bare and probed, and tells what they left otherwise."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.execution import Execution
from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.elf.placement import probe_skips, refused_places
from datacrumbs.elf.x86_execution import x86_execution
from datacrumbs.model.plan import Attach, Function, Group, Plan, Returns

from .conftest import PROGRAMS
from .forms import Form, build

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .conftest import Tracer

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
SAVE_STATE = (
    "fnstenv",
    "fnsave",
    "fxsave",
    "xsave",
    "fxsave64",
    "xsave64",
    "xsaveopt",
    "xsaveopt64",
    "xsavec",
    "xsavec64",
)
"""They write the address of the last floating-point instruction to memory."""
LAST_INSTRUCTION = slice(6, 24)
"""Of the vectors: the address of the last floating-point instruction, which is elsewhere when it was stepped."""
TRAP, LAST_FAULT = 20, 22
"""Of a signal's registers: the number of the trap, which the kernel keeps to itself while it steps, and the address of
the thread's last page fault, which may be any before."""


def execution_of(form: Form) -> object:
    """How the kernel executes a form, or why it is refused."""
    return x86_execution(form.code + bytes(8))


def _plan(program: Path) -> Plan:
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


def _records(path: Path) -> np.ndarray:
    found = np.fromfile(path, RECORD)
    found["vectors"][:, LAST_INSTRUCTION] = 0
    found["signal_registers"][:, [TRAP, LAST_FAULT]] = 0
    return found


def _runs_of(mnemonics: tuple[str, ...], members: Sequence[Form], records: np.ndarray) -> np.ndarray:
    return np.isin(records["form"], [index for index, form in enumerate(members) if form.mnemonic in mnemonics])


def differences(forms: Sequence[Form], directory: Path, trace: Callable[[Plan], Tracer]) -> dict[str, list[object]]:
    """What each form leaves otherwise when it is probed, by the name of what differs; empty for nothing.

    Each is probed at its function's start, and those that are emulated also where a probe is moved to.
    """
    moved = [form for form in forms if execution_of(form) is Execution.EMULATED]
    members = [*forms, *moved]
    command = ["setarch", "-R", str(build(directory, PROGRAMS / "forms.c", list(forms), moved))]
    subprocess.run([*command, directory / "bare"], check=True)
    plan = _plan(directory / "forms")
    tracer = trace(plan)
    try:
        failures = [failure.symbol for failure in tracer.report.failures]
        status = tracer.run(*command, str(directory / "probed")).status
        entered = np.array([each.entered for each in tracer.engine.counts()])
    finally:
        tracer.engine.close()
    bare, probed = _records(directory / "bare"), _records(directory / "probed")
    # One call each time: an instruction that is executed once is not counted twice.
    runs = np.bincount(bare["form"].astype(np.int64))
    found: dict[str, list[object]] = {
        "failures": [*failures, *([status] if status else [])],
        "counts": [(members[at].text, int(entered[at])) for at in np.flatnonzero(entered != runs)],
    }
    ignored = {
        "general": _runs_of(CHANCE, members, bare),
        **dict.fromkeys(("memory", "stack", "area"), _runs_of(SAVE_STATE, members, bare)),
    }
    for name in RECORD.names or ():
        unequal = (bare[name] != probed[name]).reshape(len(bare), -1).any(axis=1) & ~ignored.get(name, np.False_)
        found[name] = [(members[bare["form"][at]].text, int(bare["state"][at])) for at in np.flatnonzero(unequal)]
    return {name: each for name, each in found.items() if each}
