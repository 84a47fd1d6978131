"""Each form of x86-64 instruction that a disassembler knows, as functions of a program for `programs/forms.c`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import capstone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AREA = 64
"""Bytes from the start of the data that instructions address relative to themselves."""
_DISTANCE = bytes([5, 0, 0, 0])  # of branches: past the jump behind them
_REST = _DISTANCE + bytes(8)
_PREFIXES = ("", "66", "f2", "f3", "48", "41", "64", "67", "f348", "f248", "6648", "6641")
_ESCAPES = ("", "0f", "0f38", "0f3a")
_IN_REGISTER, _IN_MEMORY, _ON_STACK, _RELATIVE = 0xC1, 0x03, 0x44, 0x05
_GROUPS = {
    "": {
        0x80,
        0x81,
        0x83,
        0x8F,
        0xC0,
        0xC1,
        0xC6,
        0xC7,
        *range(0xD0, 0xD4),
        *range(0xD8, 0xE0),
        0xF6,
        0xF7,
        0xFE,
        0xFF,
    },
    "0f": {0x00, 0x01, 0x0D, 0x18, 0x1E, 0x71, 0x72, 0x73, 0xAE, 0xBA, 0xC7},
}
_UNUSED, _SI, _DI = 0b1111, 0b1001, 0b1000  # the register field of vector prefixes, inverted


@dataclass(frozen=True)
class Form:
    """An instruction.

    Args:
        code: Its bytes.
        text: As the disassembler writes it.
        distance: Where the 32-bit distance to the data is in it; 0 for none.
    """

    code: bytes
    text: str
    distance: int

    @property
    def mnemonic(self) -> str:
        return self.text.split()[-1] if self.text.startswith("rep") else self.text.split()[0]

    @property
    def branches(self) -> bool:
        """Whether it may lead to an address that a register or memory holds."""
        return self.mnemonic in {"jmp", "call"}


def instruction_forms() -> list[Form]:
    """One for each prefix, opcode, width and kind of operands, in a fixed order."""
    found: dict[object, Form] = {}
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    for code, distance, key in (*_legacy(disassembler), *_vex(), *_evex()):
        instruction = next(disassembler.disasm(code, 0, 1), None)
        if instruction is None or (distance and instruction.size < distance + 4):
            continue
        kinds = tuple((operand.type, operand.size) for operand in instruction.operands)
        text = f"{instruction.mnemonic} {instruction.op_str}"
        form = Form(code[: instruction.size], text, distance)
        found.setdefault((key, instruction.mnemonic, kinds), form)
    return list(found.values())


# (bytes, place of a distance, what tells it from others)
def _legacy(disassembler: capstone.Cs) -> Iterator[tuple[bytes, int, object]]:
    for prefix in _PREFIXES:
        for escape in _ESCAPES:
            for opcode in range(256):
                begin = bytes.fromhex(prefix + escape) + bytes([opcode])
                trial = next(disassembler.disasm(begin + bytes([_IN_REGISTER]) + _REST, 0, 1), None)
                trial = trial or next(disassembler.disasm(begin + bytes([_IN_MEMORY]) + _REST, 0, 1), None)
                if trial is not None and not trial.encoding.modrm_offset:
                    yield begin + _REST, 0, (escape, opcode)
                    continue
                group = opcode in _GROUPS.get(escape, ())
                for code, distance, kind in _operands(begin, range(8) if group else (2,)):
                    yield code, distance, (escape, opcode, kind, code[len(begin)] if group else 0)


def _operands(begin: bytes, registers: range | tuple[int, ...]) -> Iterator[tuple[bytes, int, str]]:
    for register in registers:
        field = register << 3
        yield begin + bytes([_IN_REGISTER | field]) + _REST, 0, "register"
        yield begin + bytes([_IN_MEMORY | field]) + _REST, 0, "memory"
        yield begin + bytes([_ON_STACK | field, 0x24, 8]) + _REST, 0, "stack"
    # The kernel lends such an instruction a register, and must not choose one that it uses.
    for register in sorted({*registers, 6, 7}):
        yield begin + bytes([_RELATIVE | register << 3]) + _REST, len(begin) + 1, f"relative {register}"


def _vex() -> Iterator[tuple[bytes, int, object]]:
    for opcode in range(256):
        for field in range(16):  # width, length and the prefix that it takes the place of
            low = (field & 8) << 4 | field & 7
            for used in (_UNUSED, _SI, _DI):
                begins = [bytes([0xC4, 0xE0 | number, low | used << 3, opcode]) for number in (1, 2, 3)]
                begins += [bytes([0xC5, low | 0x80 | used << 3, opcode])] if field < 8 else []
                for begin in begins:
                    number = begin[1] & 0x1F if begin[0] == 0xC4 else 1
                    general = number == 2 and opcode >= 0xF0  # works on general registers
                    for code, distance, kind in _operands(begin, (2,)):
                        if general or _enough_of_vectors(kind, used):
                            yield code, distance, (begin[0], number, opcode, kind, used if general else 0)


def _enough_of_vectors(kind: str, used: int) -> bool:
    return kind in {"register", "memory"} or (kind == "relative 2" and used != _DI)


def _evex() -> Iterator[tuple[bytes, int, object]]:
    for opcode in range(256):
        for field in range(8):  # width and the prefix that it takes the place of
            for number in (1, 2, 3):
                for used in (_UNUSED, _SI):
                    for length in (0x48, 0x29):  # the second with a mask
                        begin = bytes(
                            [0x62, 0xF0 | number, (field & 4) << 5 | used << 3 | 4 | field & 3, length, opcode]
                        )
                        for code, distance, kind in _operands(begin, (2,)):
                            if _enough_of_vectors(kind, used):
                                yield code, distance, ("evex", number, opcode, kind)


def build(directory: Path, driver: Path, forms: list[Form], moved: list[Form]) -> Path:
    """Compile the program: ``form_N`` is a form as a function, ``moved_N`` has another instruction before it."""
    lines = ["\t.text"]
    for name, members, before in (("form", forms, ""), ("moved", moved, "\tendbr64\n")):
        for number, form in enumerate(members):
            label = f"{name}_{number}"
            lines += [f"\t.globl {label}", f"\t.type {label}, @function", "\t.p2align 4", f"{label}:"]
            lines += [before + _bytes(form), "\tjmp exit_1", "\tjmp exit_2", f"\t.size {label}, . - {label}"]
    lines += ["\t.section .rodata", "\t.globl form_table, form_count", "\t.p2align 3", "form_table:"]
    for name, members in (("form", forms), ("moved", moved)):
        lines += [f"\t.quad {name}_{number}, {int(form.branches)}" for number, form in enumerate(members)]
    lines += [f"form_count: .quad {len(forms) + len(moved)}", '\t.section .note.GNU-stack,"",@progbits', ""]
    source, program = directory / "table.S", directory / "forms"
    source.write_text("\n".join(lines))
    flags = ["-O1", "-static", "-no-pie", "-fno-stack-protector", "-Wl,--build-id"]
    subprocess.run(["cc", *flags, "-o", program, driver, source], check=True)
    return program


def _bytes(form: Form) -> str:
    def of(code: bytes) -> str:
        return "\t.byte " + ", ".join(f"{value:#x}" for value in code)

    if not form.distance:
        return of(form.code)
    rest = form.code[form.distance + 4 :]
    distance = f"\t.long form_area + {AREA} - (. + {4 + len(rest)})"
    return "\n".join([of(form.code[: form.distance]), distance, *([of(rest)] if rest else [])])
