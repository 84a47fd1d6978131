"""How Linux executes a probed arm64 instruction.

As ``arch/arm64/kernel/probes/decode-insn.c`` has it, in all versions from 5.15 on: branches and addresses relative to
the instruction are simulated, most others are single-stepped out of line, and the kernel refuses the rest. It has gaps:
it steps literal loads of vector registers and `bc.cond` as if they did not depend on their address, and older versions
step the memory copies of Armv8.8. Those are refused here, as is what no rule names.
"""

from __future__ import annotations

from datacrumbs.elf.execution import Execution, Refusal

SIZE = 4
"""Bytes of an instruction."""
# Mask and value of each, as the architecture's reference manual has them.
_SIMULATED = (
    (0x7C000000, 0x14000000),  # b, bl
    (0x7E000000, 0x34000000),  # cbz, cbnz
    (0x7E000000, 0x36000000),  # tbz, tbnz
    (0xFF000010, 0x54000000),  # b.cond
    (0xFFFFFC1F, 0xD61F0000),  # br
    (0xFFFFFC1F, 0xD63F0000),  # blr
    (0xFFFFFC1F, 0xD65F0000),  # ret
    (0x1F000000, 0x10000000),  # adr, adrp
)
_REFUSED = (
    (0x3B000000, 0x18000000, Refusal.PLACE),  # ldr, ldrsw and prfm of a literal, vector registers included
    (0x3F000000, 0x08000000, Refusal.EXCLUSIVE),  # ldxr, stxr and the like; ldar, stlr and cas look the same
    (0x3B200C00, 0x19000400, Refusal.SEQUENCE),  # cpy*, set*: memory copies of Armv8.8
    (0xFF000010, 0x54000010, Refusal.PLACE),  # bc.cond
    (0x7F000000, 0x74000000, Refusal.PLACE),  # cb<cond> with a register
    (0x7F000000, 0x75000000, Refusal.PLACE),  # cb<cond> with a number
    (0xFF000000, 0xD4000000, Refusal.SYSTEM),  # svc, brk, hlt and the like
    (0xFE000000, 0xD6000000, Refusal.PLACE),  # branches that check a signature; eret
)
_STEPPED_SYSTEM = (
    *((0xFFFFFFFF, 0xD503201F | number << 5) for number in (0, 7, 8, 10, 24, 25, 26, 27, 32, 34, 36, 38)),
    *((0xFFFFF0FF, value) for value in (0xD503309F, 0xD50330BF, 0xD50330DF)),  # dsb, dmb, isb
    *((0xFFFFFFE0, value) for value in (0xD53BD040, 0xD53BD060)),  # mrs of tpidr_el0, tpidrro_el0
    *((0xFFFFFFE0, value) for value in (0xD53B4200, 0xD53B4400, 0xD53B4420)),  # mrs of nzcv, fpcr, fpsr
)
# Bits 25 to 28: vectors of any length; numbers and addresses; loads and stores; registers; vectors.
_STEPPED_CLASSES = frozenset((0b0010, 0b1000, 0b1001, 0b0100, 0b0110, 0b1100, 0b1110, 0b0101, 0b1101, 0b0111, 0b1111))


def arm64_execution(code: bytes) -> Execution | Refusal:
    """How the kernel executes the instruction at the start of ``code`` when it is probed, or why it must not be."""
    if len(code) < SIZE:
        return Refusal.UNKNOWN
    word = int.from_bytes(code[:SIZE], "little")
    for mask, value in _SIMULATED:
        if word & mask == value:
            return Execution.EMULATED
    for mask, value, refusal in _REFUSED:
        if word & mask == value:
            return refusal
    if any(word & mask == value for mask, value in _STEPPED_SYSTEM):
        return Execution.STEPPED
    kind = word >> 25 & 0xF
    if kind in _STEPPED_CLASSES:
        return Execution.STEPPED
    return Refusal.SYSTEM if kind in {0b1010, 0b1011} else Refusal.UNKNOWN
