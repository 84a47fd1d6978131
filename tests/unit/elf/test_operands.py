"""Operands of USDT notes, in every form that assemblers are given."""

from __future__ import annotations

import pytest

from datacrumbs.elf.operands import Operand, UnknownOperand, parse_operands
from datacrumbs.model.contract import OperandKind

REGISTER, MEMORY, CONSTANT = OperandKind
UNSIGNED, SIGNED = False, True
RAX, RBP, RBX, RDX, RSP, RDI, R8, R15 = 80, 32, 40, 96, 152, 112, 72, 0

X86_64 = {
    "8@%rdi": Operand(REGISTER, 8, UNSIGNED, RDI),
    "-8@%rdi": Operand(REGISTER, 8, SIGNED, RDI),
    "-4@%eax": Operand(REGISTER, 4, SIGNED, RAX),
    "2@%ax": Operand(REGISTER, 2, UNSIGNED, RAX),
    "-2@%di": Operand(REGISTER, 2, SIGNED, RDI),
    "1@%al": Operand(REGISTER, 1, UNSIGNED, RAX),
    "-1@%ah": Operand(REGISTER, 1, SIGNED, RAX + 1),
    "1@%bh": Operand(REGISTER, 1, UNSIGNED, RBX + 1),
    "1@%dil": Operand(REGISTER, 1, UNSIGNED, RDI),
    "1@%bpl": Operand(REGISTER, 1, UNSIGNED, RBP),
    "4@%r8d": Operand(REGISTER, 4, UNSIGNED, R8),
    "2@%r8w": Operand(REGISTER, 2, UNSIGNED, R8),
    "1@%r15b": Operand(REGISTER, 1, UNSIGNED, R15),
    "-4@$-5": Operand(CONSTANT, 4, SIGNED, displacement=-5),
    "8@$0x10": Operand(CONSTANT, 8, UNSIGNED, displacement=16),
    "-8@$-9223372036854775808": Operand(CONSTANT, 8, SIGNED, displacement=-(1 << 63)),
    "8@$18446744073709551615": Operand(CONSTANT, 8, UNSIGNED, displacement=(1 << 64) - 1),
    "8@-24(%rbp)": Operand(MEMORY, 8, UNSIGNED, RBP, displacement=-24),
    "8@(%rsp)": Operand(MEMORY, 8, UNSIGNED, RSP),
    "-4@8+16(%rsp)": Operand(MEMORY, 4, SIGNED, RSP, displacement=24),
    "-4@8+-16(%rsp)": Operand(MEMORY, 4, SIGNED, RSP, displacement=-8),
    "1@(%rax,%rdx)": Operand(MEMORY, 1, UNSIGNED, RAX, RDX, 1),
    "-8@-16(%rax,%rdx,8)": Operand(MEMORY, 8, SIGNED, RAX, RDX, 8, -16),
    "2@4(%rax, %rdx, 2)": Operand(MEMORY, 2, UNSIGNED, RAX, RDX, 2, 4),
}
X86_64_UNKNOWN = {
    "8@symbol(%rip)": "names a symbol",
    "-4@symbol+4(%rip)": "names a symbol",
    "8@symbol": "names a symbol",
    "8@$symbol": "names a symbol",
    "8@table(,%rax,8)": "names a symbol",
    "8@%fs:-8": "is of an unknown form",
    "8@8(%rip)": "is of an unknown form",
    "8@(,%rax,8)": "is of an unknown form",
    "8@-4(%eax)": "is of an unknown form",
    "8@(%rax,%rdx,3)": "is of an unknown form",
    "8@%xmm0": "is of an unknown form",
    "8@99999999999(%rax)": "is of an unknown form",
    "8@$99999999999999999999": "is of an unknown form",
    "8f@%xmm0": "is a floating-point number",
    "4f@-4(%rbp)": "is a floating-point number",
    "16@(%rax)": "is of an unknown size",
    "0@%rax": "is of an unknown size",
    "%rax": "is of an unknown size",
}
AARCH64 = {
    "8@x0": Operand(REGISTER, 8, UNSIGNED, 0),
    "-4@w19": Operand(REGISTER, 4, SIGNED, 152),
    "-4@x30": Operand(REGISTER, 4, SIGNED, 240),
    "8@sp": Operand(REGISTER, 8, UNSIGNED, 248),
    "4@xzr": Operand(CONSTANT, 4, UNSIGNED),
    "4@wzr": Operand(CONSTANT, 4, UNSIGNED),
    "-4@-5": Operand(CONSTANT, 4, SIGNED, displacement=-5),
    "8@#7": Operand(CONSTANT, 8, UNSIGNED, displacement=7),
    "-4@[sp, 12]": Operand(MEMORY, 4, SIGNED, 248, displacement=12),
    "8@[x29,#-16]": Operand(MEMORY, 8, UNSIGNED, 232, displacement=-16),
    "1@[x1]": Operand(MEMORY, 1, UNSIGNED, 8),
    "8@[x1, x2]": Operand(MEMORY, 8, UNSIGNED, 8, 16, 1),
    "8@[x1, x2, lsl 3]": Operand(MEMORY, 8, UNSIGNED, 8, 16, 8),
}
AARCH64_UNKNOWN = ("8@[x1, w2, sxtw 3]", "8@x31", "8@[x0, :lo12:symbol]", "8@v0", "8@d0", "8@[x0, 8]!", "8@%rdi")


@pytest.mark.parametrize(("text", "operand"), X86_64.items(), ids=X86_64)
def test_forms_of_x86_64(text: str, operand: Operand) -> None:
    assert parse_operands(text, "x86_64") == (operand,)


@pytest.mark.parametrize(("text", "reason"), X86_64_UNKNOWN.items(), ids=X86_64_UNKNOWN)
def test_what_cannot_be_read_on_x86_64_is_said(text: str, reason: str) -> None:
    assert parse_operands(text, "x86_64") == (UnknownOperand(text, reason),)


@pytest.mark.parametrize(("text", "operand"), AARCH64.items(), ids=AARCH64)
def test_forms_of_arm64(text: str, operand: Operand) -> None:
    assert parse_operands(text, "aarch64") == (operand,)


@pytest.mark.parametrize("text", AARCH64_UNKNOWN)
def test_what_cannot_be_read_on_arm64_is_said(text: str) -> None:
    assert parse_operands(text, "aarch64") == (UnknownOperand(text, "is of an unknown form"),)


def test_operands_are_told_apart_whatever_blanks_are_in_them() -> None:
    assert [each.size for each in parse_operands("8@x0 -4@[sp, 12] 2@[x1, x2, lsl 1] 1@3", "aarch64")] == [8, 4, 2, 1]
    assert [each.size for each in parse_operands("8@%rdi -4@8(%rax, %rdx, 4) 2@%cx", "x86_64")] == [8, 4, 2]
    assert parse_operands("", "x86_64") == ()


def test_other_machines_are_refused() -> None:
    assert parse_operands("8@%r1", "s390x") == (UnknownOperand("8@%r1", "operands of s390x are not known"),)
