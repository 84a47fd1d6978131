"""Where probes go: past cheap instructions, never to where anything but the function's start leads."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.loader_cache import read_loader_cache
from datacrumbs.elf.placement import probe_skips, refused_places

SOURCE = Path(__file__).parent / "programs" / "starts.S"
ALL = frozenset(range(6))
FIRST_TWO = frozenset(range(2))
PASSED = re.compile(r"endbr64|nop|mov|lea|xor|and|or|add|sub|bswap|cmp|test|sh|sa|p|neg|not|c[dl]tq")
MOVED = {
    "moves_past_endbr": 4,
    "moves_past_arithmetic": 19,
    "moves_past_thread_storage": 9,
    "moves_past_own_data": 7,
    "moves_past_a_linkers_pointer": 10,
    "moves_though_data_looks_like_a_jump": 2,
    "jumps_into_the_next": 2,
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("placement") / "libstarts.so"
    subprocess.run(["cc", "-shared", "-nostdlib", "-Wl,-z,now", "-o", made, SOURCE], check=True)
    return made


def skips(library, captured=ALL):
    functions = {each.offset: each.name for each in elf_functions(library) if not each.ifunc}
    with library.open("rb") as stream:
        found = probe_skips(stream, dict.fromkeys(functions, captured))
    return {functions[offset]: skip for offset, skip in found.items()}


def test_probes_move_to_the_first_cheap_instruction_where_nothing_is_lost(library):
    assert skips(library) == MOVED


def test_only_registers_of_captured_arguments_are_kept(library):
    assert skips(library, FIRST_TWO) == MOVED | {"moves_past_the_third_argument": 2}


def test_a_stripped_library_has_the_same_places(library, tmp_path):
    stripped = tmp_path / "libstripped.so"
    subprocess.run(["strip", "--strip-all", "-o", stripped, library], check=True)
    assert skips(stripped) == MOVED


def test_what_is_no_program_for_this_machine_has_no_places(tmp_path):
    script, other = tmp_path / "script", tmp_path / "other"
    script.write_bytes(b"#!/bin/sh\n")
    subprocess.run(["cc", "-m32", "-c", "-x", "assembler", "-o", other, "/dev/null"], check=True)
    for path in (script, other):
        with path.open("rb") as stream:
            assert probe_skips(stream, {0: ALL}) == {}


@pytest.mark.parametrize("name", ["libc.so.6", "libhdf5_serial.so.103", "libmpi.so.40", "libstdc++.so.6"])
def test_no_branch_of_a_real_library_leads_past_a_moved_probe(name):
    """Checked with another disassembler, which follows the whole library."""
    library = read_loader_cache()[name][0].resolve()
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", library], capture_output=True, text=True, check=True)
    lines = re.findall(r"^ +([0-9a-f]+):\t(\S.*)$", code.stdout, re.MULTILINE)
    places = [int(address, 16) for address, _ in lines]
    texts = [text for _, text in lines]
    following = dict(pairwise(places))
    entered = {
        int(match[1], 16)
        for text in texts
        if (match := re.match(r"(?:(?:bnd|notrack|data16) )*(?:j\w+|call|loop\w*|xbegin) +([0-9a-f]+) <", text))
    } | {int(match[1], 16) for text in texts if (match := re.match(r"lea .*# ([0-9a-f]+)", text))}
    moved = skips(library)
    offsets = {each.name: each.offset for each in elf_functions(library)}
    assert len(moved) > 50
    instruction = dict(zip(places, texts, strict=True))
    for function, skip in moved.items():
        place = offsets[function]
        end = place + skip
        while place < end:
            assert re.match(
                r"endbr64|nop|(mov|lea|xor|and|or|add|sub|bswap|cmp|test|sh|sa|p|neg|not|c[dl]tq)", instruction[place]
            )
            place = following[place]
            assert place not in entered, function
        assert place == end
        assert re.match(r"push|nop|data16 nop|xchg +%ax,%ax|j|call|cs nopw", instruction[place]), instruction[place]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_files_end_in_places_or_none(library, tmp_path, data):
    content = bytearray(library.read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    path = tmp_path / "hostile"
    path.write_bytes(content)
    with path.open("rb") as stream:
        assert isinstance(probe_skips(stream, dict.fromkeys(range(0x1000, 0x1400, 16), ALL)), dict)


def test_a_place_that_must_not_be_probed_is_left_for_any_that_may_be(tmp_path):
    library = tmp_path / "libvectors.so"
    subprocess.run(["cc", "-shared", "-nostdlib", "-o", library, SOURCE.with_name("vectors.S")], check=True)
    functions = {each.offset: each.name for each in elf_functions(library)}
    with library.open("rb") as stream:
        refused = {functions[offset] for offset in refused_places(stream, functions)}
    assert skips(library) == {"moves_to_a_return": 5, "moves_to_a_push": 4, "moves_to_a_step": 4}
    assert refused - skips(library).keys() == {"stores", "stays_for_a_jump_from_behind"}
    assert "adds" not in refused
