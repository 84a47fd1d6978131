"""Arguments from debug information and from headers, of functions that a compiler made."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from datacrumbs.elf.dwarf import function_arguments, function_parameters, register_arguments
from datacrumbs.elf.headers import header_arguments, parameter_names
from datacrumbs.errors import DatacrumbsError
from datacrumbs.provider import Role

HEADER = r"""
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
typedef int64_t handle_t;
struct pair { long first, second; };
struct large { long values[9]; };
enum mode { ONE, TWO };
extern int put(int fd, const void *buffer, size_t count, off_t offset);
extern handle_t make(const char *filename, unsigned flags, enum mode mode);
extern void mixed(int first, double skipped, short second, float too, unsigned char third);
extern int by_value(int before, struct pair pair, int after);
extern struct large hidden(int first);
extern int many(int a, int b, int c, int d, int e, int f, int g, int h);
extern int called(int (*callback)(void *, int), void *opaque, const char *text);
extern int variadic(handle_t id, const char *attr_name, ...);
extern int unnamed(int, const char *, size_t);
static inline int uses(void) { return put(1, 0, 2, 3) + undeclared_elsewhere(4); }
"""
SOURCE = r"""
#include "some.h"
int put(int fd, const void *buffer, size_t count, off_t offset) { return fd; }
handle_t make(const char *filename, unsigned flags, enum mode mode) { return flags; }
void mixed(int first, double skipped, short second, float too, unsigned char third) {}
int by_value(int before, struct pair pair, int after) { return after; }
struct large hidden(int first) { struct large result = {{first}}; return result; }
int many(int a, int b, int c, int d, int e, int f, int g, int h) { return h; }
int called(int (*callback)(void *, int), void *opaque, const char *text) { return 1; }
int variadic(handle_t id, const char *attr_name, ...) { return 2; }
int unnamed(int a, const char *b, size_t c) { return a; }
static int quiet(int a) { return a; }
int (*keep)(int) = quiet;
"""
FULL = {
    "put": [
        (0, "fd", Role.FD, 4, True),
        (1, "buffer", Role.OUT, 8, False),
        (2, "count", Role.VALUE, 8, False),
        (3, "offset", Role.VALUE, 8, True),
    ],
    "make": [
        (0, "filename", Role.PATH, 8, False),
        (1, "flags", Role.VALUE, 4, False),
        (2, "mode", Role.VALUE, 4, False),
    ],
    # floating-point arguments are in registers of their own
    "mixed": [
        (0, "first", Role.VALUE, 4, True),
        (1, "second", Role.VALUE, 2, True),
        (2, "third", Role.VALUE, 1, False),
    ],
    # what follows a structure cannot be placed
    "by_value": [(0, "before", Role.VALUE, 4, True)],
    "many": [(index, label, Role.VALUE, 4, True) for index, label in enumerate("abcdef")],
    # text could be anything, so it is not read
    "called": [
        (0, "callback", Role.OUT, 8, False),
        (1, "opaque", Role.OUT, 8, False),
        (2, "text", Role.OUT, 8, False),
    ],
    "variadic": [(0, "id", Role.VALUE, 8, True), (1, "attr_name", Role.STRING, 8, False)],
}


def shape(arguments):
    return [(one.index, one.label, one.role, one.size, one.signed) for one in arguments]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arguments")
    (folder / "some.h").write_text(HEADER.replace(" + undeclared_elsewhere(4)", ""))
    (folder / "some.c").write_text(SOURCE)
    subprocess.run(["gcc", "-g", "-w", "-shared", "-fPIC", "-o", "libsome.so", "some.c"], check=True, cwd=folder)
    subprocess.run(["strip", "-g", "-o", "libstripped.so", "libsome.so"], check=True, cwd=folder)
    return folder


def test_debug_information_tells_arguments(folder):
    found = function_arguments(folder / "libsome.so")
    assert {name: shape(found[name]) for name in FULL} == FULL
    assert not {"quiet", "hidden"} & set(found)


def test_without_debug_information_nothing_is_told(folder):
    assert function_arguments(folder / "libstripped.so") == {}
    with pytest.raises(DatacrumbsError, match="absent"):
        function_arguments(folder / "absent.so")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("version", ["3", "4", "5"])
@pytest.mark.parametrize("form", ["", "-gz", "-gdwarf64", "-fdebug-types-section", "-c"])
def test_versions_of_debug_information(folder, tmp_path, compiler, version, form):
    output = tmp_path / "lib.so"
    form = form or "-g"
    command = [compiler, form, f"-gdwarf-{version}", "-w", "-fPIC", "-o", output, "some.c"]
    subprocess.run(command if form == "-c" else [*command, "-shared"], check=True, cwd=folder)
    found = dict(function_parameters(output))
    assert {name: shape(register_arguments(found[name])) for name in FULL} == FULL
    assert function_arguments(output) == {name: register_arguments(found[name]) for name in found}


def test_functions_of_go_have_no_arguments(tmp_path):
    """Its calls pass them in other registers than C's: what is in those would look like arguments."""
    (tmp_path / "go.c").write_text("int get(int a) { return a; }\n")
    done = subprocess.run(["gcc", "-g", "-dA", "-S", "-o", "-", "go.c"], check=True, cwd=tmp_path, capture_output=True)
    text, changed = re.subn(rb"0x[0-9a-f]+(\s*[#/]+ DW_AT_language)", rb"0x16\1", done.stdout)
    assert changed == 1
    for name, source in (("c", done.stdout), ("go", text)):
        (tmp_path / f"{name}.s").write_bytes(source)
        subprocess.run(["gcc", "-shared", "-o", f"lib{name}.so", f"{name}.s"], check=True, cwd=tmp_path)
    assert "get" in function_arguments(tmp_path / "libc.so")
    assert not function_arguments(tmp_path / "libgo.so")


def test_structures_that_have_units_of_their_own(tmp_path):
    # A compiler of C++ puts each named structure there; the functions refer to it by a signature.
    (tmp_path / "some.cc").write_text(
        "struct pair { long first, second; }; struct whole { pair inner; };\n"
        'extern "C" int take(whole *all, const pair &one, int last) { return last; }\n'
        'extern "C" int by_value(int before, pair given, int after) { return after; }\n'
    )
    for version in ("4", "5"):
        output = tmp_path / f"lib{version}.so"
        flags = [f"-gdwarf-{version}", "-fdebug-types-section", "-shared", "-fPIC"]
        subprocess.run(["g++", *flags, "-o", output, "some.cc"], check=True, cwd=tmp_path)
        found = function_arguments(output)
        assert [one.ctype for one in found["take"]] == ["struct whole *", "const struct pair *", "int"]
        assert [one.label for one in found["by_value"]] == ["before"]


def test_debug_information_that_was_tampered_with_ends(folder):
    with ELFFile.load_from_path(folder / "libsome.so") as elf:
        section = elf.get_section_by_name(".debug_info")
        begin, size = section["sh_offset"], section["sh_size"]
    whole = bytearray((folder / "libsome.so").read_bytes())
    for place in range(0, size, 3):
        for value in (0, 0x7F, 0xFF):
            changed = whole.copy()
            changed[begin + place] = value
            (folder / "changed.so").write_bytes(changed)
            for name, _ in function_parameters(folder / "changed.so"):
                assert isinstance(name, str)


def test_headers_tell_the_same(folder):
    found = header_arguments(folder / "some.h", [*FULL, "hidden", "absent"])
    assert {name: shape(found[name]) for name in FULL} == FULL
    assert set(found) == set(FULL)


def test_parameters_without_names_get_numbers(folder):
    found = header_arguments(folder / "some.h", ["unnamed"])
    assert [label for _, label, *_ in shape(found["unnamed"])] == ["argument0", "argument1", "argument2"]


def test_calls_in_headers_are_no_declarations(tmp_path):
    (tmp_path / "odd.h").write_text(
        "int there(int a);\n#define USE elsewhere (1)\nstatic int f(void) { return there(2); }\n"
    )
    assert set(header_arguments(tmp_path / "odd.h", ["there", "elsewhere", "f"])) == {"there"}


def test_what_a_macro_hides_is_taken_out(tmp_path):
    (tmp_path / "odd.h").write_text("int there(int a);\n#define wrap(x) absent (x)\nenum { size = sizeof(wrap) };\n")
    assert header_arguments(tmp_path / "odd.h", ["there"]) == {}  # the header itself does not compile
    (tmp_path / "fine.h").write_text('int there(int a);\nstatic const char *text = "absent (1)";\n')
    assert set(header_arguments(tmp_path / "fine.h", ["there", "absent"])) == {"there"}


def test_missing_headers_and_compilers_tell_nothing(tmp_path, folder, monkeypatch):
    assert header_arguments(tmp_path / "absent.h", ["put"]) == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert header_arguments(folder / "some.h", ["put"], [tmp_path]) == {}


def test_real_headers():
    found = header_arguments(Path("stdio.h"), ["fread", "fseek"])
    assert [one.index for one in found["fread"]] == [0, 1, 2, 3]
    assert [one.size for one in found["fseek"]] == [8, 8, 4]


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ("int f(void);", []),
        ("int f(int a, char *b[], ...);", ["a", "b"]),
        ("int f(int, unsigned long, const char *, struct stat *);", ["", "", "", ""]),
        ("int f(int (*go)(int, int), size_t);", ["go", ""]),
        ("int f(const int values[4] __attribute__((unused)), MPI_File fh);", ["values", "fh"]),
    ],
)
def test_parameter_names(declaration, expected):
    assert parameter_names(declaration, "f") == expected
