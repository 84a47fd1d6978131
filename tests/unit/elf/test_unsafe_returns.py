"""Which returns a file itself forbids to probe."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.loader_cache import read_loader_cache
from datacrumbs.elf.unsafe_returns import unsafe_returns
from datacrumbs.model.plan import Returns

SOURCE = Path(__file__).parent / "programs" / "frames.S"
UNSAFE = {
    "has_no_caller": Returns.NOT_CALLED,
    "follows_a_signal": Returns.NOT_CALLED,
    "has_arguments_above": Returns.NOT_CALLED,
    "is_part_of_another": Returns.NOT_CALLED,
    "has_an_expression": Returns.NOT_CALLED,
    "keeps_its_return_in_a_register": Returns.NOT_CALLED,
    "is_not_described": Returns.UNDESCRIBED,
}
MUSL = Path("/usr/lib/x86_64-linux-musl/libc.so")
LANGUAGE = {
    "throws": ("__gxx_personality_v0", Returns.THROWS),
    "plain": ("__gcc_personality_v0", Returns.PROBED),
}


def unsafe(path):
    functions = {each.offset: each.name for each in elf_functions(path) if not each.ifunc}
    with path.open("rb") as stream:
        return {functions[offset]: reason for offset, reason in unsafe_returns(stream, functions).items()}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    def compile_file(source, *flags, compiler="cc"):
        directory = tmp_path_factory.mktemp("calling")
        path = directory / "source.c"
        path.write_text(source)
        subprocess.run([compiler, "-O1", "-w", "-o", directory / "made", path, *flags], check=True)
        return directory / "made"

    return compile_file


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    made = tmp_path_factory.mktemp("calling") / "libframes.so"
    subprocess.run(["cc", "-shared", "-nostdlib", "-o", made, SOURCE], check=True)
    return made


def test_unwind_entries_say_what_is_called(frames):
    assert unsafe(frames) == UNSAFE


def test_a_stripped_library_has_the_same_answer(frames, tmp_path):
    stripped = tmp_path / "libstripped.so"
    subprocess.run(["strip", "--strip-all", "-o", stripped, frames], check=True)
    assert unsafe(stripped) == UNSAFE


def test_without_the_sorted_table_the_entries_themselves_are_read(tmp_path):
    made = tmp_path / "libframes.so"
    subprocess.run(["cc", "-shared", "-nostdlib", "-Wl,--no-eh-frame-hdr", "-o", made, SOURCE], check=True)
    assert b".eh_frame_hdr" not in made.read_bytes()
    assert unsafe(made) == UNSAFE


@pytest.mark.parametrize("flags", [(), ("-static",), ("-static-pie",), ("-static", "-Wl,--export-dynamic")])
def test_a_program_begins_where_nothing_calls(build, flags):
    found = unsafe(build("int add(int a) { return a + 1; }\nint main(void) { return add(2); }\n", *flags))
    assert found["_start"] is Returns.NOT_CALLED
    assert not {"main", "add"} & set(found)


def test_the_entry_point_has_any_name(build):
    source = 'void begins(void) { __asm__ volatile("syscall" :: "a"(231), "D"(0)); __builtin_unreachable(); }'
    assert unsafe(build(source, "-nostdlib", "-static", "-Wl,-ebegins")) == {"begins": Returns.NOT_CALLED}


def test_a_file_without_unwind_information_says_nothing_of_what_it_exports(build):
    flags = ("-fno-asynchronous-unwind-tables", "-shared", "-nostdlib", "-fPIC")
    assert unsafe(build("int one(void) { return 1; }\nint other(void) { return 2; }\n", *flags)) == {}


@pytest.mark.skipif(not MUSL.exists(), reason="needs musl")
def test_functions_of_musl_keep_their_returns():
    found = unsafe(MUSL)
    assert not {"read", "write", "open", "fopen", "fread", "close"} & set(found)
    assert Returns.UNDESCRIBED not in found.values()


@pytest.mark.parametrize("name", ["libc.so.6", "libm.so.6", "libhdf5_serial.so.103", "libmpi.so.40", "libcrypto.so.3"])
def test_functions_of_libraries_keep_their_returns(name):
    paths = read_loader_cache().get(name)
    if not paths:
        pytest.skip(f"{name} is not here")
    reasons = set(unsafe(paths[0].resolve()).values())
    assert not reasons & {Returns.NOT_CALLED, Returns.UNDESCRIBED, Returns.THROWS, Returns.COLLECTED, Returns.MOVES}


@pytest.mark.parametrize("what", list(LANGUAGE))
def test_functions_that_only_their_file_calls_may_be_thrown_through(build, what):
    personality, reason = LANGUAGE[what]
    source = f"void {personality}(void) {{}}\nint handler(void) {{ return 1; }}\nint main(void) {{}}\n"
    for flags in ((), ("-rdynamic",), ("-rdynamic", "-no-pie", "-fno-pie"), ("-static",)):
        assert unsafe(build(source, *flags)).get("handler", Returns.PROBED) is reason
    assert "handler" not in unsafe(build(source, "-shared", "-fPIC"))


def test_exported_functions_that_only_clean_up_let_exceptions_pass(build):
    source = (
        "void work(void); void clean(int *);\n"
        'extern "C" void cleans_up(void) { struct own { int it; ~own() { clean(&it); } } mine; work(); }\n'
        'extern "C" void catches(void) { try { work(); } catch (...) { } }\n'
        'extern "C" void does_neither(void) { work(); }\n'
    )
    found = unsafe(build(source, "-shared", "-fPIC", compiler="c++"))
    assert {each: found.get(each) for each in ("cleans_up", "catches", "does_neither")} == {
        "cleans_up": Returns.THROWS,
        "catches": None,
        "does_neither": None,
    }


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_nothing_of_a_go_program_has_its_returns_probed(tmp_path):
    source = tmp_path / "main.go"
    source.write_text("package main\nfunc main() { println(1) }\n")
    variables = {"GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", tmp_path / "made", source], check=True, env=os.environ | variables)
    found = unsafe(tmp_path / "made")
    assert len(found) == len([each for each in elf_functions(tmp_path / "made") if not each.ifunc])
    assert found["_rt0_amd64_linux"] in {Returns.MOVES, Returns.NOT_CALLED}
    assert found["main.main"] is Returns.MOVES


def test_what_is_no_elf_file_has_no_returns_to_probe():
    assert unsafe_returns(io.BytesIO(b"#!/bin/sh\n"), [0, 64]) == dict.fromkeys([0, 64], Returns.UNDESCRIBED)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_files_end_in_an_answer(frames, data):
    content = bytearray(frames.read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.integers(4, len(content) - 1))
        content[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    offsets = [each.offset for each in elf_functions(frames)]
    assert set(unsafe_returns(io.BytesIO(bytes(content)), offsets)) <= set(offsets)
