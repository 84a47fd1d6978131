"""Arguments from C headers, as the machine's compiler understands them."""

from __future__ import annotations

from pathlib import Path

import pytest

from datacrumbs.elf.headers import header_arguments, parameter_names

from .declared import FULL, shape


def test_headers_tell_the_same(described):
    found = header_arguments(described / "some.h", [*FULL, "hidden", "absent"])
    assert {name: shape(found[name]) for name in FULL} == FULL
    assert set(found) == set(FULL)


def test_parameters_without_names_get_numbers(described):
    found = header_arguments(described / "some.h", ["unnamed"])
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


def test_missing_headers_and_compilers_tell_nothing(tmp_path, described, monkeypatch):
    assert header_arguments(tmp_path / "absent.h", ["put"]) == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert header_arguments(described / "some.h", ["put"], [tmp_path]) == {}


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
