"""Operands of USDT notes: where a probe's arguments are when its place is reached.

The text is what the assembler was given (``8@%rdi -4@$5 4@-20(%rbp)`` on x86-64, ``8@x0 -4@[sp, 12]`` on
arm64): the size in bytes, negative for a signed value, and the operand; see
https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.model.contract import OperandKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand that can be read.

    Args:
        kind: What it is.
        size: Bytes of the value: 1, 2, 4 or 8.
        signed: Whether it is to be sign-extended.
        register: Offset in the kernel's ``struct pt_regs`` of the register, or of the base of an address;
            an odd one is the second byte of a register (``%ah``).
        index: Offset of the index register; counts only with a scale.
        scale: What the index is multiplied by; 0 for no index.
        displacement: Added to the address; or the constant.
    """

    kind: OperandKind
    size: int
    signed: bool
    register: int = 0
    index: int = 0
    scale: int = 0
    displacement: int = 0


@dataclass(frozen=True, slots=True)
class UnknownOperand:
    """An operand that cannot be read, and why."""

    text: str
    reason: str


def parse_operands(text: str, machine: str) -> tuple[Operand | UnknownOperand, ...]:
    """The operands of a note, in their order.

    Args:
        text: The note's argument format; empty for none.
        machine: Hardware name, as ``uname -m``.
    """
    return tuple(_operand(word, machine) for word in _WORD.findall(text))


_WORD = re.compile(r"(?:\[[^\]]*\]|\([^)]*\)|\S)+")  # an address of arm64 has blanks
_FORM = re.compile(r"(?P<size>-?[1248])@(?P<place>.+)")
_FLOAT = re.compile(r"-?\d+f@.+")
_INTEGER = re.compile(r"[+-]?(?:0x[0-9a-fA-F]+|\d+)")
_SUM = rf"{_INTEGER.pattern}(?:[+-]{_INTEGER.pattern})*"
_CONSTANT_LIMIT = 1 << 64
_DISPLACEMENT_LIMIT = 1 << 31

_X86_CONSTANT = re.compile(rf"\$(?P<number>{_SUM})")
_X86_REGISTER = re.compile(r"%(?P<name>\w+)")
_X86_ADDRESS = re.compile(
    rf"(?P<displacement>{_SUM})?\(%(?P<base>\w+)(?:,\s*%(?P<index>\w+)(?:,\s*(?P<scale>[1248]))?)?\)"
)
_ARM_CONSTANT = re.compile(rf"#?(?P<number>{_SUM})")
_ARM_REGISTER = re.compile(r"(?P<name>[wx]\d+|[wx]zr|w?sp)")
_ARM_ADDRESS = re.compile(
    rf"\[(?P<base>x\d+|sp)(?:,\s*(?:#?(?P<displacement>{_SUM})|(?P<index>x\d+)(?:,\s*lsl\s*#?(?P<shift>[0-3]))?))?\]"
)


def _operand(word: str, machine: str) -> Operand | UnknownOperand:
    read = _MACHINES.get(machine)
    if read is None:
        return UnknownOperand(word, f"operands of {machine} are not known")
    match = _FORM.fullmatch(word)
    if match is None:
        return UnknownOperand(word, "is a floating-point number" if _FLOAT.fullmatch(word) else "is of an unknown size")
    size = int(match["size"])
    found = read(match["place"], abs(size), size < 0)
    if found is None:
        symbolic = re.search(r"[A-Za-z_.]", re.sub(r"%\w+", "", match["place"])) and machine == "x86_64"
        return UnknownOperand(word, "names a symbol" if symbolic else "is of an unknown form")
    return found


def _x86_64(place: str, size: int, signed: bool) -> Operand | None:
    if match := _X86_CONSTANT.fullmatch(place):
        return _constant(match["number"], size, signed)
    if match := _X86_REGISTER.fullmatch(place):
        register = _X86_64.get(match["name"])
        return None if register is None else Operand(OperandKind.REGISTER, size, signed, register)
    if match := _X86_ADDRESS.fullmatch(place):
        scale = int(match["scale"] or 1) if match["index"] else 0
        index = _X86_64_WIDE.get(match["index"] or "rax")
        return _memory(size, signed, (_X86_64_WIDE.get(match["base"]), index, scale), match["displacement"])
    return None


def _aarch64(place: str, size: int, signed: bool) -> Operand | None:
    if match := _ARM_CONSTANT.fullmatch(place):
        return _constant(match["number"], size, signed)
    if match := _ARM_REGISTER.fullmatch(place):
        if match["name"].endswith("zr"):
            return Operand(OperandKind.CONSTANT, size, signed)
        register = _AARCH64.get(match["name"])
        return None if register is None else Operand(OperandKind.REGISTER, size, signed, register)
    if match := _ARM_ADDRESS.fullmatch(place):
        scale = 1 << int(match["shift"] or 0) if match["index"] else 0
        index = _AARCH64.get(match["index"] or "x0")
        return _memory(size, signed, (_AARCH64.get(match["base"]), index, scale), match["displacement"])
    return None


def _memory(
    size: int, signed: bool, registers: tuple[int | None, int | None, int], displacement: str | None
) -> Operand | None:
    base, index, scale = registers
    added = _sum(displacement or "0")
    if base is None or index is None or not -_DISPLACEMENT_LIMIT <= added < _DISPLACEMENT_LIMIT:
        return None
    return Operand(OperandKind.MEMORY, size, signed, base, index if scale else 0, scale, added)


def _constant(text: str, size: int, signed: bool) -> Operand | None:
    number = _sum(text)
    if not -_CONSTANT_LIMIT // 2 <= number < _CONSTANT_LIMIT:
        return None
    return Operand(OperandKind.CONSTANT, size, signed, displacement=number)


# Assemblers are given sums as the compiler made them: 8+16(%rsp).
def _sum(text: str) -> int:
    total = 0
    for sign, number in re.findall(r"([+-]*)(0x[0-9a-fA-F]+|\d+)", text):
        value = int(number, 16 if number.startswith("0x") else 10)
        total += -value if sign.count("-") % 2 else value
    return total


# Offsets in struct pt_regs, by arch/x86/include/asm/ptrace.h and the user_pt_regs at the start of arm64's.
_X86_64_WIDE = {
    **dict(zip(("r15", "r14", "r13", "r12"), range(0, 32, 8), strict=True)),
    "rbp": 32, "rbx": 40, "r11": 48, "r10": 56, "r9": 64, "r8": 72, "rax": 80, "rcx": 88, "rdx": 96, "rsi": 104,
    "rdi": 112, "rsp": 152,
}  # fmt: skip


# The register's names by the bytes that they mean.
def _x86_64_names() -> Mapping[str, int]:
    names = dict(_X86_64_WIDE)
    for wide, offset in _X86_64_WIDE.items():
        if wide[1].isdigit():
            names |= dict.fromkeys((f"{wide}d", f"{wide}w", f"{wide}b"), offset)
            continue
        short = wide[1:]
        names |= {f"e{short}": offset, short: offset}
        if short.endswith("x"):
            names |= {f"{short[0]}l": offset, f"{short[0]}h": offset + 1}
        else:
            names[f"{short}l"] = offset
    return names


_X86_64 = _x86_64_names()
_AARCH64 = {
    **{f"{prefix}{number}": 8 * number for number in range(31) for prefix in "xw"},
    "sp": 248,
    "wsp": 248,
}
_MACHINES: Mapping[str, Callable[[str, int, bool], Operand | None]] = {"x86_64": _x86_64, "aarch64": _aarch64}
