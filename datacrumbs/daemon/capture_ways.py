"""Ways of capture: by which kinds of probes the calls of each function are recorded, and so what one of them costs."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.model.plan import Attach, Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.model.plan import Group, Plan
    from datacrumbs.model.record import FunctionCounts
    from datacrumbs.probefile.targets import OpenTargets

SYSTEM_CALL = "system call"
RETURNING, ENTERED = "function", "function without return"
"""Of libraries: with probes on entry and return, or on the entry alone."""
STEPPED = ", single-stepped"
"""Of functions whose first probed instruction the kernel does not emulate."""
_NAMES = {Attach.TRACEPOINT: "kernel event", Attach.KPROBE: "kernel function", Attach.USDT: "USDT probe"}
_INSTRUCTION = 2
_PUSH, _REX_B, _NOP, _WIDTH = range(0x50, 0x58), 0x41, 0x90, 0x66
_JUMPS = frozenset((0xE9, 0xEB, *range(0x70, 0x80)))
_TWO_BYTES, _NEAR_JUMPS = 0x0F, range(0x80, 0x90)


def variant(mode: Mode, sample: int) -> str:
    """What the name of a way ends with: how much of a call is kept."""
    if mode is Mode.PROFILE:
        return ", added up"
    return f", 1 of {sample} recorded" if sample > 1 else ""


def library_way(*, returns: bool, stepped: bool) -> str:
    """The way of a library function."""
    return (RETURNING if returns else ENTERED) + (STEPPED if stepped else "")


def is_emulated(code: bytes) -> bool:
    """Whether the kernel emulates an x86-64 instruction under a probe in every version: pushes, jumps and short nops.

    The whole rule (`elf.x86_execution`) needs a disassembler, for whose loading a run has no time; a test compares the
    two.

    Args:
        code: Its first two bytes.
    """
    first, second = code[0], code[1]
    if first in _PUSH or first == _NOP or first in _JUMPS:
        return True
    if first == _REX_B:
        return second in _PUSH
    return (first, second) == (_WIDTH, _NOP) or (first == _TWO_BYTES and second in _NEAR_JUMPS)


class CaptureWays:
    """The ways of a plan's functions.

    Their instructions are read at once: the attach has just read them, and a file system that is gone at the end of a
    run would keep that end waiting.

    Args:
        plan: The plan.
        targets: Its files, open; they may be closed afterwards.
    """

    def __init__(self, plan: Plan, targets: OpenTargets) -> None:
        # Elsewhere the first bytes do not say it, and the costs of both are one (`calibration`).
        files = targets.files if os.uname().machine == "x86_64" else {}
        self._ways = [way for group in plan.groups for way in _ways(group, files.get(group.target))]

    def calls(self, counts: Sequence[FunctionCounts]) -> dict[str, int]:
        """Way -> how many calls were made in it.

        Args:
            counts: Of each function of the plan.
        """
        calls: dict[str, int] = {}
        for way, count in zip(self._ways, counts, strict=True):
            if count.entered:
                calls[way] = calls.get(way, 0) + count.entered
        return calls


# Of each function of a group.
def _ways(group: Group, file: int | None) -> list[str]:
    end = variant(group.mode, group.sample)
    if group.attach is not Attach.UPROBE:
        way = SYSTEM_CALL + end if group.attach is Attach.SYSCALL else _NAMES[group.attach]
        return [way] * len(group.functions)
    ways = {
        (returns, stepped): library_way(returns=returns, stepped=stepped) + end
        for returns in (True, False)
        for stepped in (True, False)
    }
    code = _Code(file)
    return [ways[function.return_probe, code.is_stepped(function.place)] for function in group.functions]


class _Code:
    """The instructions of an open file, read a page at a time: many functions share one. None: nothing is known."""

    def __init__(self, file: int | None) -> None:
        self._file = file
        self._pages: dict[int, bytes] = {}

    def is_stepped(self, place: int) -> bool:
        """Whether the instruction there is known, and not one that the kernel emulates."""
        if self._file is None:
            return False
        start = place - place % mmap.PAGESIZE
        if start not in self._pages:
            self._pages[start] = b""
            with suppress(OSError):  # and the first byte of the next one, where an instruction may go on
                self._pages[start] = os.pread(self._file, mmap.PAGESIZE + _INSTRUCTION - 1, start)
        at = place - start
        code = self._pages[start][at : at + _INSTRUCTION]
        return len(code) == _INSTRUCTION and not is_emulated(code)
