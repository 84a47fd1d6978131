"""Single x86-64 instructions: what a probe may be moved past, and what branches."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import capstone
from capstone import x86

from datacrumbs.elf.execution import Execution, Refusal
from datacrumbs.elf.x86_execution import LONGEST, x86_execution

if TYPE_CHECKING:
    from collections.abc import Callable

_ENDBR64 = b"\xf3\x0f\x1e\xfa"
_STEPS = 16
PROLOGUE = 80
"""Bytes of a function that `bytes_to_skip` looks at."""

# The first operand is written and read, the others are read; nothing else but flags.
_WRITES_FIRST = frozenset(
    [
        *("mov", "movabs", "movzx", "movsx", "movsxd", "lea", "xor", "and", "or", "add", "sub", "neg", "not", "inc"),
        *("dec", "bswap", "shl", "sal", "shr", "sar", "rol", "ror", "movaps", "movapd", "movups", "movupd", "movdqa"),
        *("movdqu", "movd", "movq", "pxor", "por", "pand", "xorps", "xorpd", "punpcklqdq"),
    ]
)
# The same of vectors of integers and of bits, and their moves. Arithmetic of floating-point numbers may raise a signal.
_VECTORS = re.compile(r"v(mov[adu].*|movq|p(?!.*str[im]).*|xorp[sd]|orp[sd]|andn?p[sd]|shufp[sd]|unpck[hl]p[sd])")
_READS = frozenset(["cmp", "test", "bt"])
_NOTHING = frozenset(("endbr64", "nop", "cdqe", "vzeroupper", "vzeroall"))  # cdqe: eax into rax
_ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
_FAMILIES = {
    **{f"{size}{letter}x": f"r{letter}x" for letter in "abcd" for size in ("r", "e", "")},
    **{f"{letter}{half}": f"r{letter}x" for letter in "abcd" for half in "lh"},
    **{f"{size}{name}": f"r{name}" for name in ("si", "di", "bp", "sp") for size in ("r", "e", "")},
    **{f"{name}l": f"r{name}" for name in ("si", "di", "bp", "sp")},
    **{f"r{number}{size}": f"r{number}" for number in range(8, 16) for size in ("", "d", "w", "b")},
}
_VECTOR_REGISTER = re.compile(r"[xyz]mm\d|k\d")
_PAGE = 4096


def bytes_to_skip(code: bytes, address: int, captured: frozenset[int], constant: Callable[[int], bool]) -> int:
    """How many bytes a probe at the start may be moved on: to the first instruction that the kernel emulates.

    Where the first instruction must not be probed, the first that may be is better than none.

    Args:
        code: The function's code; `PROLOGUE` bytes are enough.
        address: Where it is.
        captured: Positions of the arguments that the probe reads.
        constant: Whether an address is one that only the program's loader writes (a pointer of the linker's).

    Returns:
        0 when it is in the best place already, or when an instruction before a better place may not be passed: one that
        writes the stack pointer, the register of a captured argument or memory, that branches, or that reads memory
        which may be missing. Such a read can fault, and then the call would not be seen.
    """
    at = second_best = 0
    passing = _Passing({_ARGUMENTS[position] for position in captured if position < len(_ARGUMENTS)}, constant)
    must_move = isinstance(x86_execution(code), Refusal)
    for _ in range(_STEPS):
        execution = x86_execution(code[at:])
        if execution is Execution.EMULATED:
            return at
        if must_move and not second_best and execution is Execution.STEPPED:
            second_best = at
        if code.startswith(_ENDBR64, at):
            at += len(_ENDBR64)
            continue
        instruction = next(_detailed().disasm(code[at : at + LONGEST], address + at, 1), None)
        if instruction is None or not passing.may_pass(instruction):
            break
        at += instruction.size
    return second_best


class _Passing:
    # What is known on the way from one instruction to the next.

    def __init__(self, kept: set[str], constant: Callable[[int], bool]) -> None:
        self.kept = kept | {"rsp"}
        self.constant = constant
        self.pointers: set[str] = set()  # registers that hold a pointer of the linker's

    def may_pass(self, instruction: capstone.CsInsn) -> bool:
        mnemonic, operands = instruction.mnemonic, instruction.operands
        if mnemonic in _NOTHING:
            self.pointers.discard("rax")
            return True
        if mnemonic in _READS:
            return all(self._readable(instruction, operand) for operand in operands)
        if not (mnemonic in _WRITES_FIRST or _VECTORS.fullmatch(mnemonic)):
            return False
        if not operands or operands[0].type != x86.X86_OP_REG:
            return False
        if mnemonic != "lea" and not all(self._readable(instruction, operand) for operand in operands[1:]):
            return False
        written = instruction.reg_name(operands[0].reg)
        family = _FAMILIES.get(written, "vector" if _VECTOR_REGISTER.match(written) else "")
        self.pointers.discard(family)
        if mnemonic == "mov" and family == written and self._is_constant(instruction, operands[1]):
            self.pointers.add(family)
        return family != "" and family not in self.kept

    def _readable(self, instruction: capstone.CsInsn, operand: x86.X86Op) -> bool:
        if operand.type != x86.X86_OP_MEM:
            return True
        memory = operand.mem
        if memory.index:
            return False
        if memory.segment:
            return bool(memory.segment == x86.X86_REG_FS and not memory.base)
        if memory.base == x86.X86_REG_RIP:
            return True
        base: str = instruction.reg_name(memory.base)
        return base in self.pointers and 0 <= memory.disp < _PAGE

    def _is_constant(self, instruction: capstone.CsInsn, operand: x86.X86Op) -> bool:
        if operand.type != x86.X86_OP_MEM or operand.mem.base != x86.X86_REG_RIP or operand.mem.segment:
            return False
        address: int = instruction.address + instruction.size + operand.mem.disp
        return self.constant(address)


def leads_into(code: bytes, address: int, place: int, low: int, high: int) -> bool:
    """Whether the instruction with the byte at ``place`` leads into ``low`` to ``high``, or takes such an address.

    Args:
        code: From the start of a function to behind ``place``.
        address: Where it is.
        place: The address of what may be an opcode.
        low: First address of the range.
        high: Last address of the range.

    Returns:
        True also where the code cannot be followed up to there.
    """
    at: int
    size: int
    for at, size, mnemonic, operands in _plain().disasm_lite(code, address):
        if at + size <= place:
            continue
        if at > place:
            return True
        if mnemonic == "lea":
            _, found, distance = operands.rpartition("[rip ")
            if not found:
                return False
            return low <= at + size + int(distance.rstrip("]").replace(" ", ""), 0) <= high
        try:
            return low <= int(operands, 0) <= high
        except ValueError:
            return False
    return True


@cache
def _plain() -> capstone.Cs:
    return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


@cache
def _detailed() -> capstone.Cs:
    made = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    made.detail = True
    return made
