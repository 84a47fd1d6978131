"""How Linux executes a probed x86-64 instruction: the one rule, for every encoding.

It follows what ``arch/x86/kernel/uprobes.c`` does with the bytes (`arch_uprobe_analyze_insn`), in all versions from
5.15 on. That code was written for the old encodings. It looks at the opcode byte alone, also where that byte belongs
to a VEX or EVEX instruction and means something else. So this rule reads the bytes as the kernel does, too, and takes
only what the kernel's reading and the processor's agree on. What no rule names is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import capstone

from datacrumbs.elf.execution import Execution, Refusal

LONGEST = 15
"""Bytes of the longest instruction."""
_PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3))
_REFUSED_PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, 0xF0))  # is_prefix_bad: segments (notrack is one) and lock
_THREAD_SEGMENTS = frozenset((0x64, 0x65))
_REPEATS = frozenset((0xF2, 0xF3))
_WIDTH, _BOUND, _REP = 0x66, 0xF2, 0xF3
_NOP = 0x90
_MAP_3A = 3
_MOST_PREFIXES = 4  # that the kernel's decoder keeps
_VEX_2, _VEX_3, _EVEX, _REX_2 = 0xC5, 0xC4, 0x62, 0xD5
_FIVE_BYTES = 5
# As the kernel's list has them (arch/x86/kernel/alternative.c); Linux before 6.16 single-steps the long ones.
_NOPS = "90 6690 0f1f00 0f1f4000 0f1f440000 660f1f440000 0f1f8000000000 0f1f840000000000"
_NO_OPERATIONS = frozenset(map(bytes.fromhex, _NOPS.split()))


def _bytes(*ranges: int | tuple[int, int]) -> frozenset[int]:
    spans = [(each, each) if isinstance(each, int) else each for each in ranges]
    return frozenset(value for low, high in spans for value in range(low, high + 1))


_SHORT_JUMPS = _bytes((0x70, 0x7F), 0xE9, 0xEB)
_NEAR_JUMPS = _bytes((0x80, 0x8F))
_PUSHES = _bytes((0x50, 0x57))
_LOOPS = _bytes((0xE0, 0xE3))
_RETURNS = _bytes(0xC2, 0xC3)
_STRINGS = _bytes((0xA4, 0xA7), (0xAA, 0xAF))
# good_insns_64 of the kernel: the bytes that it takes as the only byte of an opcode.
_NOT_GOOD = _bytes(
    *(0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x27, 0x2F, 0x37, 0x3F, (0x60, 0x62), (0x6C, 0x6F), 0x82, 0x9A),
    *((0xCC, 0xCF), (0xD4, 0xD6), (0xE4, 0xE7), 0xEA, (0xEC, 0xEF), 0xF1, 0xF4, 0xFA, 0xFB),
)
# What the kernel gives a meaning to by its opcode byte alone. In a vector instruction the byte has another:
# jumps and calls, nop and xchg, popf (the trap flag stays set), returns and jumps (the program goes on in the copy),
# a load of a segment.
_READ_BY_BYTE = _SHORT_JUMPS | _RETURNS | _bytes(0xE8, 0x8E, 0x90, 0x9A, 0x9D, 0xCA, 0xCB, 0xEA, 0xFF)
# AMD's own of map 3 (four operands), which no kernel's decoder knows: it takes the probe, and does not place it.
_FOUR_OPERANDS = _bytes(0x48, 0x49, (0x5C, 0x5F), (0x68, 0x6F), (0x78, 0x7F))
_ONE_BYTE = _bytes(
    *((0x00, 0x05), (0x08, 0x0D), (0x10, 0x15), (0x18, 0x1D), (0x20, 0x25), (0x28, 0x2D), (0x30, 0x35), (0x38, 0x3D)),
    *(0x63, (0x50, 0x5F), (0x68, 0x6B), (0x70, 0x81), (0x83, 0x8D), 0x8F, (0x90, 0x99), (0x9B, 0x9F), (0xA0, 0xC3)),
    *((0xC6, 0xC9), (0xD0, 0xD3), (0xD7, 0xE3), 0xE9, 0xEB, (0xF5, 0xF9), (0xFC, 0xFF)),
)
_TWO_BYTES = _bytes(
    *(0x01, 0x0D, (0x10, 0x1F), (0x28, 0x2F), 0x31, (0x40, 0x77), (0x7C, 0xA0), (0xA2, 0xA5), 0xA8, (0xAB, 0xB1)),
    *(0xB3, (0xB6, 0xB8), (0xBA, 0xFE)),
)
_ONE_BYTE_REFUSALS = {
    0xE8: Refusal.SHADOW,
    0x8E: Refusal.FAR,
    **dict.fromkeys((0x9A, 0xCA, 0xCB, 0xEA), Refusal.FAR),
    0x9C: Refusal.FLAGS,
    **dict.fromkeys((0xCC, 0xCD, 0xCE, 0xCF, 0xF1, 0xF4, 0xFA, 0xFB), Refusal.SYSTEM),
    **dict.fromkeys((*range(0x6C, 0x70), *range(0xE4, 0xE8), *range(0xEC, 0xF0)), Refusal.SYSTEM),
}
_TWO_BYTE_REFUSALS = {
    **dict.fromkeys(
        (0x00, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, *range(0x20, 0x24), 0x30, *range(0x32, 0x38)), Refusal.SYSTEM
    ),
    **dict.fromkeys((0xA1, 0xA9, 0xB2, 0xB4, 0xB5), Refusal.FAR),
}
# Opcodes that have others in the register field, and which of those are taken.
_GROUPS = {0x8F: (0,), 0xC6: (0,), 0xC7: (0,), 0xFE: (0, 1), 0xFF: (0, 1, 4, 6)}
_USER_LEVEL = frozenset((0xD0, 0xF9))  # of 0f 01: xgetbv, rdtscp
_TRANSACTION = 0xF8
_MOVNT = 0x2B  # of 0f


@dataclass(frozen=True, slots=True)
class _Encoded:
    # An instruction's encoding. The map is 0 for opcodes of one byte, then 1 (0f), 2 (0f 38) and 3 (0f 3a).
    prefixes: frozenset[int]
    rex: int
    opcode_map: int
    opcode: int
    modrm: int
    vector: bool = False

    @property
    def register(self) -> int:
        return self.modrm >> 3 & 7

    @property
    def in_memory(self) -> bool:
        return self.modrm < 0xC0


def x86_execution(code: bytes, *, at_entry: bool = True) -> Execution | Refusal:
    """How the kernel executes the instruction at the start of ``code`` when it is probed, or why it must not be.

    Args:
        code: The bytes of the file from there on; `LONGEST` are enough.
        at_entry: False for a place inside a function, where what is below the stack pointer may be in use.
    """
    encoded = _encoded(code)
    if isinstance(encoded, Refusal):
        return encoded
    found = _vector(encoded) if encoded.vector else _legacy(encoded)
    size = 0 if isinstance(found, Refusal) else _size(code)
    if isinstance(found, Refusal) or not size:
        return found if isinstance(found, Refusal) else Refusal.UNKNOWN
    if not at_entry and size == _FIVE_BYTES and _may_be_replaced(encoded, code):
        return Refusal.RED_ZONE
    return Execution.EMULATED if code[:size] in _NO_OPERATIONS else found


def _encoded(code: bytes) -> _Encoded | Refusal:
    at = 0
    while at < len(code) and code[at] in _PREFIXES:
        at += 1
    prefixes = frozenset(code[:at])
    if prefixes & _REFUSED_PREFIXES or len(prefixes) != at or at > _MOST_PREFIXES:
        return Refusal.PREFIX
    code = code[at : at + LONGEST] + bytes(LONGEST)  # what is not there is found out by its size
    rex = code[0] if 0x40 <= code[0] <= 0x4F else 0
    if rex:
        code = code[1:]
    if code[0] in {_VEX_2, _VEX_3, _EVEX}:
        return Refusal.PREFIX if rex or prefixes - _THREAD_SEGMENTS else _vector_encoding(prefixes, code)
    if code[0] == _REX_2:
        return Refusal.PREFIX
    if code[0] != 0x0F:
        return _Encoded(prefixes, rex, 0, code[0], code[1])
    opcode_map = {0x38: 2, 0x3A: 3}.get(code[1], 1)
    begin = 1 if opcode_map == 1 else 2
    return _Encoded(prefixes, rex, opcode_map, code[begin], code[begin + 1])


def _vector_encoding(prefixes: frozenset[int], code: bytes) -> _Encoded | Refusal:
    if code[0] == _VEX_2:
        return _Encoded(prefixes, 0, 1, code[2], code[3], vector=True)
    if code[0] == _VEX_3:
        return _Encoded(prefixes, 0, code[1] & 0x1F, code[3], code[4], vector=True)
    # Bits that were fixed until APX gave them to registers that no kernel's decoder of probes knows.
    if code[1] & 0x0C or not code[2] & 0x04:
        return Refusal.UNKNOWN
    return _Encoded(prefixes, 0, code[1] & 0x03, code[4], code[5], vector=True)


def _vector(encoded: _Encoded) -> Execution | Refusal:
    if encoded.opcode_map not in {1, 2, 3}:
        return Refusal.UNKNOWN
    if encoded.opcode in _READ_BY_BYTE:
        return Refusal.MISTAKEN
    unknown = _NOT_GOOD | _FOUR_OPERANDS if encoded.opcode_map == _MAP_3A else _NOT_GOOD
    return Refusal.UNKNOWN if encoded.opcode in unknown else Execution.STEPPED


def _legacy(encoded: _Encoded) -> Execution | Refusal:
    if encoded.opcode_map == 0:
        return _one_byte(encoded)
    if encoded.opcode_map == 1:
        return _two_bytes(encoded)
    return Execution.STEPPED


def _one_byte(encoded: _Encoded) -> Execution | Refusal:
    opcode, prefixes = encoded.opcode, encoded.prefixes
    known = opcode in _ONE_BYTE and opcode not in _ONE_BYTE_REFUSALS
    refusal = _wrong_prefix(encoded) if known else _ONE_BYTE_REFUSALS.get(opcode, Refusal.UNKNOWN)
    if refusal is not None:
        return refusal
    if opcode in _GROUPS:
        return _group(encoded)
    push = opcode in _PUSHES and not prefixes and encoded.rex in {0, 0x41}
    return Execution.EMULATED if push or opcode in _SHORT_JUMPS else Execution.STEPPED


def _wrong_prefix(encoded: _Encoded) -> Refusal | None:
    opcode, prefixes = encoded.opcode, encoded.prefixes
    branch = opcode in _SHORT_JUMPS | _RETURNS | _LOOPS or (opcode == 0xFF and encoded.register == 4)
    if opcode in _STRINGS and prefixes & _REPEATS:
        return Refusal.REPEATED
    if opcode == _NOP and encoded.rex & 1:
        return Refusal.MISTAKEN  # before Linux 6.19 the exchange of rax with r8 is a no-operation
    if branch:
        allowed = {_BOUND} if opcode in _SHORT_JUMPS else prefixes - {_WIDTH}
    else:
        allowed = {_REP} if opcode == _NOP and len(prefixes) == 1 else set()
        allowed |= prefixes - _REPEATS
    return Refusal.PREFIX if prefixes - allowed else None


def _group(encoded: _Encoded) -> Execution | Refusal:
    if encoded.opcode in {0xC6, 0xC7} and encoded.modrm == _TRANSACTION:
        return Refusal.TRANSACTION
    if encoded.opcode == 0xFF and encoded.register in {2, 3, 5}:
        return Refusal.SHADOW if encoded.register == 2 else Refusal.FAR
    return Execution.STEPPED if encoded.register in _GROUPS[encoded.opcode] else Refusal.UNKNOWN  # 8f is also XOP's


def _two_bytes(encoded: _Encoded) -> Execution | Refusal:
    opcode = encoded.opcode
    if opcode in _TWO_BYTE_REFUSALS or opcode not in _TWO_BYTES:
        return _TWO_BYTE_REFUSALS.get(opcode, Refusal.UNKNOWN)
    if opcode in _NEAR_JUMPS:
        return Refusal.PREFIX if encoded.prefixes - {_BOUND} else Execution.EMULATED
    if opcode == _MOVNT and encoded.prefixes & _REPEATS:
        return Refusal.UNKNOWN  # SSE4a's: to the kernel's decoder it has no operands, so that rip is not corrected
    known = {0x01: _user_level, 0xAE: _state, 0xC7: _exchange}.get(opcode)
    return Execution.STEPPED if known is None or known(encoded) else Refusal.SYSTEM


def _user_level(encoded: _Encoded) -> bool:
    return encoded.modrm in _USER_LEVEL and not encoded.prefixes


# cmpxchg8b and 16b, xsavec; random numbers and rdpid, but no user interrupts.
def _exchange(encoded: _Encoded) -> bool:
    if encoded.in_memory:
        return encoded.register in {1, 4}
    return encoded.register == 7 or (encoded.register == 6 and _REP not in encoded.prefixes)


# 0f ae: states of the floating-point unit, caches and barriers; the shadow stack's and waiting are among them.
def _state(encoded: _Encoded) -> bool:
    others = encoded.prefixes - _THREAD_SEGMENTS
    if encoded.in_memory:
        return not others or (others == {_WIDTH} and encoded.register in {6, 7})
    if others == {_REP}:
        return encoded.register < 4
    return not others and encoded.register >= 5


# Linux 6.18 writes a call over a no-operation of five bytes, later versions over other instructions without effect.
def _may_be_replaced(encoded: _Encoded, code: bytes) -> bool:
    if encoded.vector or encoded.opcode_map > 1:
        return False
    if encoded.opcode_map == 1:
        return encoded.opcode == 0x1F
    return encoded.opcode in {0x89, 0x8D, 0x90} or (encoded.opcode == 0xE9 and not any(code[1:_FIVE_BYTES]))


# The size of a valid instruction, 0 for another. The disassembler is older than the oldest kernel, so that what it
# knows has the same size for both.
def _size(code: bytes) -> int:
    return next((size for _, size, _, _ in _disassembler().disasm_lite(code[:LONGEST], 0, 1)), 0)


@cache
def _disassembler() -> capstone.Cs:
    return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
