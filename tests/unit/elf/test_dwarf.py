"""Arguments from debug information of functions that a compiler made."""

from __future__ import annotations

import re
import subprocess

import pytest

from datacrumbs.elf.dwarf import function_arguments, function_parameters, register_arguments
from datacrumbs.elf.file import open_elf
from datacrumbs.errors import DatacrumbsError

from .declared import FULL, shape


def test_debug_information_tells_arguments(described):
    found = function_arguments(described / "libsome.so")
    assert {name: shape(found[name]) for name in FULL} == FULL
    assert not {"quiet", "hidden"} & set(found)


def test_without_debug_information_nothing_is_told(described):
    assert function_arguments(described / "libstripped.so") == {}
    with pytest.raises(DatacrumbsError, match="absent"):
        function_arguments(described / "absent.so")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("version", ["3", "4", "5"])
@pytest.mark.parametrize("form", ["", "-gz", "-gdwarf64", "-fdebug-types-section", "-c"])
def test_versions_of_debug_information(described, tmp_path, compiler, version, form):
    output = tmp_path / "lib.so"
    form = form or "-g"
    command = [compiler, form, f"-gdwarf-{version}", "-w", "-fPIC", "-o", output, "some.c"]
    subprocess.run(command if form == "-c" else [*command, "-shared"], check=True, cwd=described)
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


def test_debug_information_that_was_tampered_with_ends(described):
    with open_elf(described / "libsome.so") as elf:
        section = elf.section(".debug_info")
    assert section is not None
    begin, size = section.offset, section.size
    whole = bytearray((described / "libsome.so").read_bytes())
    for place in range(0, size, 3):
        for value in (0, 0x7F, 0xFF):
            changed = whole.copy()
            changed[begin + place] = value
            (described / "changed.so").write_bytes(changed)
            for name, _ in function_parameters(described / "changed.so"):
                assert isinstance(name, str)
