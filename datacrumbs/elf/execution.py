"""What becomes of an instruction that a probe's breakpoint replaces: how the kernel executes it, and what it cannot.

A uprobe puts a breakpoint over an instruction in every process that maps the file, traced or not. The kernel then
emulates the instruction, or lets the thread execute a copy of it elsewhere (out of line), by single-stepping.
"""

from __future__ import annotations

from enum import Enum, StrEnum


class Execution(Enum):
    """How the kernel executes a probed instruction. EMULATED costs one exception, STEPPED costs two."""

    EMULATED = "emulated"
    STEPPED = "stepped"


class Refusal(StrEnum):
    """Why an instruction must not be probed. The values are for people; each completes "the instruction there ..."."""

    MISTAKEN = "is decoded as another one by the kernel, which would compute something else"
    PREFIX = "has a prefix that the kernel does not execute elsewhere"
    REPEATED = "repeats itself, so that each round would be counted as a call"
    FLAGS = "would show the program the flag by which the kernel single-steps"
    TRANSACTION = "belongs to a memory transaction, which a probe aborts"
    SHADOW = "calls, and the kernel corrects the return address on the stack but not on a shadow stack"
    FAR = "loads a segment or leaves for another one"
    SYSTEM = "is for the operating system or enters it"
    PLACE = "depends on its own address in a way that the kernel does not correct"
    EXCLUSIVE = "belongs to an exclusive access, which a probe interrupts each time"
    SEQUENCE = "can only be executed next to the others of its sequence"
    RED_ZONE = "is replaced by a call on Linux 6.18, which writes below the stack pointer"
    UNKNOWN = "is not one that the kernel is known to execute correctly elsewhere"
    MACHINE = "is for another machine than this one"
    OUTSIDE = "is not in the file's code"
