"""What becomes of probed instructions: a function for each, and bytes that no assembler makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datacrumbs.elf.arm64_execution import arm64_execution
from datacrumbs.elf.execution import Execution, Refusal
from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.placement import probe_skips, refused_places
from datacrumbs.elf.x86_execution import x86_execution

PROGRAMS = Path(__file__).parent / "programs"
JUMPS_BY_BYTE = {*range(0x70, 0x80), 0xE8, 0xE9, 0xEB}
TWO_BYTE_VEX, THREE_BYTE_VEX, EVEX = "c5fd{:02x}c1", "c4e{}7d{:02x}c101", "62f{}7d48{:02x}c101"


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    made = tmp_path_factory.mktemp("execution") / "libinstructions.so"
    source = PROGRAMS / "instructions.S"
    subprocess.run(["cc", "-shared", "-nostdlib", "-o", made, source], check=True)
    return made


def test_each_instruction_is_executed_or_refused_as_its_name_says(instructions):
    content = instructions.read_bytes()
    functions = elf_functions(instructions)
    found = {each.name: x86_execution(content[each.offset : each.offset + 16]).name for each in functions}
    assert len(found) > 150
    assert found == {name: name.partition("_")[0] for name in found}


def test_a_file_has_the_refusals_of_its_instructions(instructions):
    offsets = {each.offset: each.name.partition("_")[0] for each in elf_functions(instructions)}
    with instructions.open("rb") as stream:
        refused = refused_places(stream, offsets, machine="x86_64")
    accepted = {name for offset, name in offsets.items() if offset not in refused}
    assert accepted == {"EMULATED", "STEPPED"}
    assert {reason.name for reason in refused.values()} == set(offsets.values()) - accepted


@pytest.mark.parametrize("opcode", sorted(JUMPS_BY_BYTE))
def test_no_vector_instruction_is_probed_whose_opcode_reads_as_a_jump_or_a_call(opcode):
    codes = [TWO_BYTE_VEX.format(opcode)]
    codes += [form.format(number, opcode) for form in (THREE_BYTE_VEX, EVEX) for number in (1, 2, 3)]
    assert {x86_execution(bytes.fromhex(code) + bytes(8)) for code in codes} == {Refusal.MISTAKEN}


@pytest.mark.parametrize("code", ["", "c5", "62f1", "e9", "0f", "f3f266", "48", "c4e2", "0f38", "66" * 15, "d9"])
def test_bytes_that_are_no_whole_instruction_are_refused(code):
    assert isinstance(x86_execution(bytes.fromhex(code)), Refusal)


@pytest.mark.parametrize("code", ["0f1f440000", "e900000000", "488d642400"])
def test_five_bytes_without_effect_are_refused_inside_a_function(code):
    content = bytes.fromhex(code)
    assert isinstance(x86_execution(content), Execution)
    assert x86_execution(content, at_entry=False) is Refusal.RED_ZONE
    assert x86_execution(b"\x90", at_entry=False) is Execution.EMULATED


ARM64 = {
    "1f2003d5": Execution.STEPPED,  # nop
    "3f2303d5": Execution.STEPPED,  # paciasp
    "5f2403d5": Execution.STEPPED,  # bti c
    "fd7bbea9": Execution.STEPPED,  # stp x29, x30, [sp, #-32]!
    "ff8300d1": Execution.STEPPED,  # sub sp, sp, #32
    "00041f6e": Execution.STEPPED,  # mov v0.b[15], v0.b[0]
    "0028214e": Execution.STEPPED,  # xtn2 v0.16b, v0.8h
    "00e0250e": Execution.STEPPED,  # pmull v0.8h, v0.8b, v5.8b
    "00a04004": Execution.STEPPED,  # SVE
    "40d03bd5": Execution.STEPPED,  # mrs x0, tpidr_el0
    "bf3b03d5": Execution.STEPPED,  # dmb ish
    "200020b8": Execution.STEPPED,  # ldadd
    "e80300aa": Execution.STEPPED,  # mov x8, x0
    "02000014": Execution.EMULATED,  # b
    "02000094": Execution.EMULATED,  # bl
    "40000054": Execution.EMULATED,  # b.eq
    "400000b4": Execution.EMULATED,  # cbz
    "40000037": Execution.EMULATED,  # tbnz
    "00000090": Execution.EMULATED,  # adrp
    "00000010": Execution.EMULATED,  # adr
    "00001fd6": Execution.EMULATED,  # br x0
    "00003fd6": Execution.EMULATED,  # blr x0
    "c0035fd6": Execution.EMULATED,  # ret
    "40000058": Refusal.PLACE,  # ldr x0, a literal
    "40000098": Refusal.PLACE,  # ldrsw x0, a literal
    "4000009c": Refusal.PLACE,  # ldr q0, a literal: the kernel steps it
    "4000005c": Refusal.PLACE,  # ldr d0, a literal
    "400000d8": Refusal.PLACE,  # prfm of a literal
    "50000054": Refusal.PLACE,  # bc.eq
    "40000074": Refusal.PLACE,  # cbgt
    "ff0b5fd6": Refusal.PLACE,  # retaa
    "1f081fd6": Refusal.PLACE,  # braaz x0
    "e0039fd6": Refusal.PLACE,  # eret
    "007c5fc8": Refusal.EXCLUSIVE,  # ldxr
    "007c02c8": Refusal.EXCLUSIVE,  # stxr
    "00fcdf88": Refusal.EXCLUSIVE,  # ldar: the kernel takes it for ldxr
    "4004011d": Refusal.SEQUENCE,  # cpyfp
    "010000d4": Refusal.SYSTEM,  # svc
    "000020d4": Refusal.SYSTEM,  # brk
    "5f2003d5": Refusal.SYSTEM,  # wfe
    "bf2303d5": Refusal.SYSTEM,  # autiasp: not in all kernels' list
    "00421bd5": Refusal.SYSTEM,  # msr nzcv, x0
    "20740bd5": Refusal.SYSTEM,  # dc zva
    "00000000": Refusal.UNKNOWN,  # udf
    "1f20": Refusal.UNKNOWN,
}


@pytest.mark.parametrize(("code", "expected"), ARM64.items())
def test_arm64_instructions_have_a_rule_of_their_own(code, expected):
    assert arm64_execution(bytes.fromhex(code)) is expected


def test_code_of_another_machine_is_refused_and_never_read_by_this_ones_rules(instructions, tmp_path):
    content = bytearray(instructions.read_bytes())
    content[18] = 183  # EM_AARCH64
    other = tmp_path / "libother.so"
    other.write_bytes(content)
    offsets = [each.offset for each in elf_functions(other)]
    with other.open("rb") as stream:
        assert set(refused_places(stream, offsets, machine="x86_64").values()) == {Refusal.MACHINE}
        assert probe_skips(stream, dict.fromkeys(offsets, frozenset())) == {}
        refused = refused_places(stream, offsets, machine="aarch64")
        assert Refusal.MACHINE not in refused.values()
        assert set(refused_places(stream, offsets, machine="riscv64").values()) == {Refusal.MACHINE}


@settings(deadline=None)
@given(st.binary(max_size=20), st.booleans())
def test_any_bytes_are_executed_or_refused(code, at_entry):
    assert isinstance(x86_execution(code, at_entry=at_entry), Execution | Refusal)
    assert isinstance(arm64_execution(code), Execution | Refusal)
