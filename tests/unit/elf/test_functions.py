from __future__ import annotations

import contextlib
import re
import subprocess

import pytest

from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.elf.ifuncs import resolve_ifuncs
from datacrumbs.errors import DatacrumbsError, ExitCode

SOURCE = r"""
int plain(int a) { return a + 1; }
int _hidden_name(void) __attribute__((alias("plain_long_name")));
int plain_long_name(void) { return 2; }
extern int __short_(void) __attribute__((weak, alias("plain_long_name")));
static int quiet(void) { return 3; }
int calls_quiet(void) { return quiet(); }
int old_one(void) { return 4; }
int new_one(void) { return 5; }
int only_old(void) { return 6; }
__asm__(".symver old_one, both@V1");
__asm__(".symver new_one, both@@V2");
__asm__(".symver only_old, alone@V1");
static int picked(void) { return 7; }
static int (*choose(void))(void) { return picked; }
int indirect(void) __attribute__((ifunc("choose")));
int data_object = 8;
"""
VERSIONS = """
V1 {
	global: plain; plain_long_name; _hidden_name; __short_; calls_quiet; indirect; data_object; both; alone;
	local: *;
};
V2 { global: both; } V1;
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elf")
    (folder / "some.c").write_text(SOURCE)
    (folder / "some.map").write_text(VERSIONS)
    output = folder / "libsome.so.1"
    subprocess.run(
        ["gcc", "-O1", "-fPIC", "-shared", "-Wl,--version-script=some.map", "-o", output, "some.c"],
        check=True,
        cwd=folder,
    )
    return output


@pytest.fixture(scope="module")
def by_name(library):
    return {function.name: function for function in elf_functions(library)}


def readelf_offsets(path):
    """Name -> file offset of the functions that readelf lists, through the segments that it lists."""
    text = subprocess.run(["readelf", "-lW", path], check=True, capture_output=True, text=True).stdout
    loads = [line.split() for line in text.splitlines() if line.split()[:1] == ["LOAD"]]
    segments = [(int(row[2], 16), int(row[1], 16), int(row[4], 16)) for row in loads]
    text = subprocess.run(["readelf", "--dyn-syms", "-W", path], check=True, capture_output=True, text=True).stdout
    found = {}
    for row in (line.split() for line in text.splitlines()):
        if len(row) < 8 or row[3] not in {"FUNC", "IFUNC"} or row[6] in {"UND", "ABS"}:
            continue
        address = int(row[1], 16)
        for start, offset, size in segments:
            if start <= address < start + size:
                found.setdefault(row[7], address - start + offset)
    return found


def test_aliases_are_one_function_with_the_public_name_first(by_name):
    assert by_name["plain_long_name"].aliases == ("__short_", "_hidden_name")
    assert "_hidden_name" not in by_name


def test_static_functions_and_data_are_left_out(by_name):
    assert not {"quiet", "picked", "data_object"} & set(by_name)


def test_the_default_version_has_the_name(library, by_name):
    offsets = readelf_offsets(library)
    assert by_name["both"].offset == offsets["both@@V2"]
    assert by_name["both@V1"].offset == offsets["both@V1"]


def test_a_name_without_a_default_version_is_kept(by_name):
    assert "alone" in by_name


def test_several_old_versions_without_a_default_are_told_apart(tmp_path):
    (tmp_path / "old.c").write_text(
        "int first(void) { return 1; } int second(void) { return 2; } int both(void) { return 3; }\n"
        '__asm__(".symver first, f@V1"); __asm__(".symver second, f@V2");\n'
        '__asm__(".symver both, g@V1"); __asm__(".symver both, g@@V2");\n'
    )
    (tmp_path / "old.map").write_text("V1 { global: f; g; local: *; };\nV2 { global: f; g; } V1;\n")
    for extra in ((), ("-s",)):
        command = ["gcc", "-shared", "-fPIC", *extra, "-Wl,--version-script=old.map", "-o", "libold.so", "old.c"]
        subprocess.run(command, check=True, cwd=tmp_path)
        functions = elf_functions(tmp_path / "libold.so")
        assert [(function.name, function.aliases) for function in functions] == [("f@V1", ()), ("f@V2", ()), ("g", ())]


def test_indirect_functions_are_marked_and_resolved(library, by_name):
    assert by_name["indirect"].ifunc
    resolution = resolve_ifuncs(library, elf_functions(library))
    assert not resolution.refused
    [resolved] = [function for function in resolution.functions if function.name == "indirect"]
    assert not resolved.ifunc
    assert resolved.offset != by_name["indirect"].offset
    disassembly = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", library], check=True, capture_output=True, text=True
    ).stdout
    assert re.search(r"[$#]0x7\b", disassembly.partition("<picked>:")[2].split("\n\n")[0])
    assert f"{resolved.offset:x} <picked>:" in disassembly  # the text segment's address is its offset


def test_indirect_functions_that_cannot_be_resolved_are_refused_with_a_reason(tmp_path, library):
    broken = tmp_path / "libbroken.so"
    broken.write_bytes(library.read_bytes()[:-400])
    resolution = resolve_ifuncs(broken, elf_functions(library))
    assert all(not function.ifunc for function in resolution.functions) or "indirect" in resolution.refused


def test_libc_is_complete_and_right():
    path = elf_target("/bin/true")  # any dynamic program leads to the C library
    assert path.path == "/usr/bin/true"
    [libc] = {
        line.split()[2]
        for line in subprocess.run(["ldd", "/bin/true"], check=True, capture_output=True, text=True).stdout.splitlines()
        if "libc.so.6" in line
    }
    offsets = readelf_offsets(libc)
    functions = elf_functions(libc)
    assert len({function.offset for function in functions}) == len(functions) > 2000
    names = {name: function.offset for function in functions for name in (function.name, *function.aliases)}
    wanted = {name.split("@")[0]: offset for name, offset in offsets.items() if "@@" in name or "@" not in name}
    assert {name: names[name] for name in wanted} == wanted


def test_programs_with_a_symbol_table_tell_their_functions(tmp_path):
    (tmp_path / "main.c").write_text("int helper(void) { return 1; }\nint main(void) { return helper(); }\n")
    subprocess.run(["gcc", "-static", "-o", "main", "main.c"], check=True, cwd=tmp_path)
    names = {function.name for function in elf_functions(tmp_path / "main")}
    assert {"main", "helper", "read", "fopen"} <= names


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x01\x01\x01" + bytes(200)])
def test_what_is_no_elf_file_is_a_clear_error(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DatacrumbsError, match="file") as caught:
        elf_functions(path)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_truncated_library_is_a_clear_error_or_has_fewer_functions(tmp_path, library):
    content = library.read_bytes()
    for length in range(64, len(content), 997):
        path = tmp_path / f"cut{length}"
        path.write_bytes(content[:length])
        with contextlib.suppress(DatacrumbsError):
            assert len(elf_functions(path)) <= len(elf_functions(library))


def test_missing_files_are_a_clear_error(tmp_path):
    for ask in (elf_functions, elf_target):
        with pytest.raises(DatacrumbsError, match="absent") as caught:
            ask(tmp_path / "absent")
        assert caught.value.exit_code == ExitCode.USAGE
