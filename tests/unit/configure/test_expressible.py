"""Names and types of other languages: what a probe file cannot carry costs the name or the function, never the plan."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datacrumbs.configure import compose
from datacrumbs.configure.candidates import Candidate
from datacrumbs.configure.compose import Report
from datacrumbs.configure.expressible import expressible
from datacrumbs.elf.c_types import argument_label
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import UsdtPlace
from datacrumbs.probefile.codec import decode, encode, function_problem
from datacrumbs.provider import Argument, Attach, Function, Target

LONG = "x" * 1025
ODD = (
    "main.(*T[go.shape.struct { x int }]).Get",
    "type:.eq.[2]interface {}",
    "name with spaces/(*T).x",
    "main.caf\u00e9",
    "ends*/comment",
    LONG,
)
TYPES = r"""
#include <map>
#include <string>
#include <vector>
#define DEEP std::map<std::string, std::vector<std::map<std::string, std::vector<std::pair<std::string, int>>>>>
struct Holder { template <typename F> __attribute__((noinline)) int call(F const &f, int count) { return f(count); } };
int odd(DEEP *deep, int count) { return deep->size() + count; }
int use(Holder *holder, int count) { return holder->call([](int x) { return x + 1; }, count); }
"""


def library_of(folder, names):
    """A library with a function for each name, one with two names, and a plain one."""
    text = []
    for number, name in enumerate(names):
        text.append(f'.globl "{name}"\n.type "{name}", @function\n"{name}":\nmov ${number}, %eax\nret\n')
    text.append('.globl "odd alias", plain\n.type "odd alias", @function\n.type plain, @function\n')
    text.append('"odd alias":\nplain:\nmov $7, %eax\nret\n')
    (folder / "odd.s").write_text("".join(text), encoding="utf-8")
    subprocess.run(["cc", "-shared", "-o", folder / "libodd.so", folder / "odd.s"], check=True)
    return folder / "libodd.so"


def site_of(file, regex=".*"):
    return f"capture_probes: [{{name: odd, probe: uprobe, type: binary, file: {file}, regex: '{regex}'}}]"


def functions_of(function, attach=Attach.UPROBE):
    notes = []
    candidates = [Candidate("site", attach, Target("/lib", "aa"), function, "entry")]
    return [each.function for each in expressible(candidates, notes.append)], notes


@pytest.mark.skipif(shutil.which("as") is None, reason="needs an assembler")
def test_functions_with_names_of_other_languages_are_left_out_with_a_note(site, load, host, tmp_path):
    notes: list[str] = []
    plan = compose(site(site_of(library_of(tmp_path, ODD))), load(), host, report=Report(notes.append))
    assert decode(encode(plan)) == plan
    assert [(each.symbol, each.aliases) for each in plan.functions] == [("plain", ())]
    assert [note for note in notes if note.startswith("6 functions left out: a probe file cannot carry such a name (")]
    assert "1 function without some of the names: a probe file cannot carry them (plain)" in notes


def test_nothing_but_such_names_is_an_error(site, load, host, tmp_path):
    library = library_of(tmp_path, ODD)
    notes: list[str] = []
    with pytest.raises(DatacrumbsError, match="no function to probe is left"):
        compose(site(site_of(library, "name with spaces.*")), load(), host, report=Report(notes.append))
    assert len(notes) == 1


def test_types_of_cpp_are_told_plainly(site, load, host, tmp_path):
    (tmp_path / "types.cc").write_text(TYPES)
    library = tmp_path / "libtypes.so"
    subprocess.run(["c++", "-g", "-O1", "-shared", "-fPIC", "-o", library, tmp_path / "types.cc"], check=True)
    notes: list[str] = []
    plan = compose(site(site_of(library)), load(), host, report=Report(notes.append))
    assert decode(encode(plan)) == plan
    (odd,) = [each for each in plan.functions if each.symbol.startswith("_Z3odd")]
    assert [argument.label for argument in odd.arguments] == ["deep", "count"]
    assert [argument.ctype for argument in odd.arguments] == ["void *", "int"]
    assert any("with plain types of arguments" in note for note in notes)


def test_a_type_keeps_its_kind():
    types = ("map[string]{}*", "[]uint8 &", "{lambda(int)#1}", "caf\u00e9_t")
    arguments = tuple(
        Argument(index, f"a{index}", text, size=8 if index < 2 else 4, signed=index == 2)
        for index, text in enumerate(types)
    )
    (function,), notes = functions_of(Function("f", "f", "X", 1, arguments=arguments))
    assert [each.ctype for each in function.arguments] == ["void *", "void *", "int", "unsigned int"]
    assert notes == ["1 function with plain types of arguments: a probe file cannot carry all of their own (f)"]


def test_another_name_takes_the_place_of_one_that_cannot_be_carried():
    (function,), _ = functions_of(Function("f g", "f g", "X", 1, aliases=("h i", "j")))
    assert (function.name, function.symbol, function.aliases) == ("j", "j", ())
    (function,), _ = functions_of(Function("open", "f g", "X", 1, aliases=("j",)))
    assert (function.name, function.symbol) == ("open", "j")


def test_too_many_names_and_places():
    (function,), notes = functions_of(Function("f", "f", "X", 1, aliases=tuple(f"a{index}" for index in range(300))))
    assert len(function.aliases) == 256
    assert notes == ["1 function with only 256 of the names (f)"]
    places = tuple(UsdtPlace(index) for index in range(2, 302))
    left, notes = functions_of(Function("f", "p:f", "X", 1, more_places=places), Attach.USDT)
    assert not left
    assert notes == ["1 function left out: function.more_places: 300 elements; expected 0 to 256 (p:f)"]


def test_operands_that_cannot_be_carried_cost_the_arguments():
    given = Function("f", "p:f", "X", 1, usdt_arguments="8@{%rax}", arguments=(Argument(0, "a"),))
    (function,), notes = functions_of(given, Attach.USDT)
    assert (function.usdt_arguments, function.arguments) == ("", ())
    assert len(notes) == 1


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([Attach.UPROBE, Attach.USDT]),
    st.lists(st.text(max_size=30), min_size=2, max_size=4),
    st.lists(st.tuples(st.text(max_size=20), st.sampled_from([1, 2, 4, 8])), max_size=6),
    st.text(max_size=40),
)
def test_whatever_a_file_says_can_be_carried_or_is_left_out(attach, names, types, operands):
    arguments = tuple(Argument(at, f"a{at}", ctype, size=size) for at, (ctype, size) in enumerate(types))
    usdt = attach is Attach.USDT
    given_function = Function(
        names[0],
        names[1],
        "X",
        1,
        aliases=tuple(names[2:]),
        arguments=arguments,
        usdt_arguments=operands if usdt else "",
    )
    functions, notes = functions_of(given_function, attach)
    assert all(not function_problem(function, attach) for function in functions)
    assert functions == [given_function] or notes


def test_labels_are_plain_short_and_different():
    assert argument_label("__Path", 0) == "path"
    assert argument_label("\u00e9", 3) == "argument3"
    assert argument_label("9lives", 1) == "argument1"
    assert len(argument_label("n" * 300, 0)) == 48
    assert argument_label("X", 2, {"x", "x2"}) == "x3"
