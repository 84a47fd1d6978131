"""Where in an ELF file probes may be, and where they cost least.

A breakpoint on an instruction that the kernel cannot execute elsewhere as it is would break every program that maps
the file. A probe on an instruction that the kernel must single-step costs several times one on a push or
a no-operation. Within the first instructions nearly every function has a better place, and nothing is lost when
the arguments and the return address are still where they were, and when each call passes the place exactly once.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from datacrumbs.elf.arm64_execution import SIZE, arm64_execution
from datacrumbs.elf.disassembly import PROLOGUE, bytes_to_skip
from datacrumbs.elf.entrances import Windows, entered_windows
from datacrumbs.elf.execution import Execution, Refusal
from datacrumbs.elf.file import ELF_PROBLEMS, machine_of
from datacrumbs.elf.segments import read_image
from datacrumbs.elf.x86_execution import LONGEST, x86_execution

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from datacrumbs.elf.segments import ProgramImage


def refused_places(
    stream: BinaryIO, starts: Iterable[int], points: Iterable[int] = (), machine: str = ""
) -> Mapping[int, Refusal]:
    """The places of an ELF file at which a probe would change what programs compute, and why.

    It holds for entries and returns alike: a return probe has its breakpoint at the function's entry, too.

    Args:
        stream: The file, opened for reading; its position is changed.
        starts: File offsets of functions' first instructions.
        points: File offsets of instructions inside functions (USDT probes).
        machine: Whose kernel it is, as ``uname -m`` says; empty for the running one.

    Returns:
        Reasons by offset; all of them when the file cannot be read as an ELF file of that machine.
    """
    at_entry = dict.fromkeys(points, False) | dict.fromkeys(starts, True)
    try:
        image = read_image(stream)
    except ELF_PROBLEMS:
        return dict.fromkeys(at_entry, Refusal.OUTSIDE)
    if image.machine != machine_of(machine or platform.machine()):
        return dict.fromkeys(at_entry, Refusal.MACHINE)
    found = {offset: _execution(image, offset, at_entry=entry) for offset, entry in at_entry.items()}
    return {offset: each for offset, each in found.items() if isinstance(each, Refusal)}


def _execution(image: ProgramImage, offset: int, *, at_entry: bool) -> Execution | Refusal:
    code = _code(image, image.address_of(offset), LONGEST)
    if not code:
        return Refusal.OUTSIDE
    if image.machine == "EM_AARCH64":
        return Refusal.UNKNOWN if offset % SIZE else arm64_execution(code)
    return x86_execution(code, at_entry=at_entry)


def _code(image: ProgramImage, address: int | None, size: int) -> bytes:
    segment = image.code_at(address) if address is not None else None
    if address is None or segment is None:
        return b""
    begin = address - segment.address
    return segment.content[begin : begin + size].tobytes()


def probe_skips(stream: BinaryIO, functions: Mapping[int, frozenset[int]]) -> Mapping[int, int]:
    """For functions of an ELF file, how many bytes their probes may be moved on.

    Args:
        stream: The file, opened for reading; its position is changed.
        functions: File offset of a function's first instruction -> positions of the arguments that the probe reads.

    Returns:
        Bytes to skip by offset, for those that can be moved; empty for another machine's code, for what is no
        ELF file, and where its tables cannot be read. What is at the new places may be probed.
    """
    try:
        return _skips(stream, functions)
    except ELF_PROBLEMS:
        return {}


def _skips(stream: BinaryIO, functions: Mapping[int, frozenset[int]]) -> Mapping[int, int]:
    image = read_image(stream)
    if image.machine != "EM_X86_64":
        return {}
    moved: dict[int, tuple[int, int]] = {}
    for offset, captured in functions.items():
        address = image.address_of(offset)
        code = _code(image, address, PROLOGUE)
        if address is None or not code:
            continue
        skip = bytes_to_skip(code, address, captured, image.is_constant)
        if skip:
            moved[address] = offset, skip
    addresses = np.array(sorted(moved), np.int64)
    skips = np.array([moved[address][1] for address in addresses.tolist()], np.int64)
    windows = Windows(addresses + 1, addresses + skips)
    entered = entered_windows(image, windows)
    known = np.isin(addresses, image.starts)
    return {
        moved[address][0]: moved[address][1]
        for address, free in zip(addresses.tolist(), (~entered & known).tolist(), strict=True)
        if free
    }
