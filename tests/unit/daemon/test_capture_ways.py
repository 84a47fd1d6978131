"""In which way calls are captured."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.capture_ways import CaptureWays, is_emulated
from datacrumbs.elf.execution import Execution
from datacrumbs.elf.x86_execution import x86_execution
from datacrumbs.model.plan import Attach, Function, Group, Mode, Plan, Returns, Target
from datacrumbs.model.record import FunctionCounts

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = (0x00, 0x1F, 0x41, *range(0x50, 0x58), *range(0x80, 0x90), 0x90, 0xC0, 0xFF)
STEPPED, EMULATED = b"\x48\x85\xff\xc3", b"\x55\x5d\xc3\x90"


class Files:
    """In place of open targets."""

    def __init__(self, files: dict[Target, int]) -> None:
        self.files = files


def test_the_short_rule_says_what_the_whole_one_says() -> None:
    """But for long nops, which only some kernels emulate."""
    for first in range(256):
        for second in SECONDS:
            code = bytes((first, second)) + b"\x00" * 13
            found = x86_execution(code)
            if isinstance(found, Execution) and (first, second) not in {(0x0F, 0x1F), (0x66, 0x0F)}:
                assert is_emulated(code[:2]) == (found is Execution.EMULATED), code.hex()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="looks at instructions of x86-64")
def test_an_instruction_that_goes_on_in_the_next_page(tmp_path: Path) -> None:
    file, page = tmp_path / "code", mmap.PAGESIZE
    file.write_bytes((bytes(page - 1) + EMULATED[:2]).ljust(2 * page, STEPPED[:1]))
    library = Target(str(file), "aa")
    places = {"across": page - 1, "next": page + 1, "last": 2 * page - 1}
    functions = tuple(Function(name, name, "X", place) for name, place in places.items())
    descriptor = os.open(file, os.O_RDONLY)
    plan = Plan((), (Group("a", "a", Attach.UPROBE, library, functions),))
    ways = CaptureWays(plan, Files({library: descriptor}))  # type: ignore[arg-type]
    os.close(descriptor)
    calls = ways.calls([FunctionCounts(entered=number) for number in (2, 3, 5)])
    assert calls == {"function": 2 + 5, "function, single-stepped": 3}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="looks at instructions of x86-64")
def test_calls_by_way(tmp_path: Path) -> None:
    file = tmp_path / "code"
    file.write_bytes(STEPPED + EMULATED)
    library, kernel = Target(str(file), "aa"), Target("", "6.18")
    functions = (
        Function("stepped", "stepped", "X", 0),
        Function("emulated", "emulated", "X", 4),
        Function("skipped", "skipped", "X", 0, skip=4),
        Function("entry", "entry", "X", 0, returns=Returns.THROWS),
        Function("beyond", "beyond", "X", 99),
        Function("never", "never", "X", 0),
    )
    groups = (
        Group("a", "a", Attach.UPROBE, library, functions),
        Group("b", "b", Attach.SYSCALL, kernel, (Function("write", "write", "POSIX", 1),), Mode.PROFILE),
        Group("b", "b", Attach.SYSCALL, kernel, (Function("read", "read", "POSIX", 0),), sample=7),
        Group("c", "c", Attach.TRACEPOINT, kernel, (Function("event", "a:b", "BLOCK"),)),
    )
    descriptor = os.open(file, os.O_RDONLY)
    ways = CaptureWays(Plan((), groups), Files({library: descriptor}))  # type: ignore[arg-type]
    os.close(descriptor)
    calls = ways.calls([FunctionCounts(entered=number) for number in (2, 3, 5, 7, 11, 0, 13, 17, 19)])
    assert calls == {
        "function, single-stepped": 2,
        "function": 3 + 5 + 11,
        "function without return, single-stepped": 7,
        "system call, added up": 13,
        "system call, 1 of 7 recorded": 17,
        "kernel event": 19,
    }
