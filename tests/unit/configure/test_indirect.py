from __future__ import annotations

from dataclasses import replace

import pytest

from datacrumbs.configure import compose
from datacrumbs.configure.compose import Report
from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.elf.signatures import functions_of, signature
from datacrumbs.errors import DatacrumbsError
from datacrumbs.provider import Attach, Cost, Preset, ProbeTarget, Result

SOURCE = """
static int zero(int number) { return number; }
int exported(int number) { return number + 1; }
static void *resolve(void) { return zero; }
static void *resolve_other(void) { return exported; }
int chosen(int number) __attribute__((ifunc("resolve")));
int other(int number) __attribute__((ifunc("resolve_other")));
int plain(int number) { return number + 2; }
"""
TABLE = tuple(signature("TINY", name, Result.STATUS, "number:int") for name in ("chosen", "other", "plain"))


@pytest.fixture
def providers(load, make_plugin):
    """A provider whose own table names the functions of a library."""

    def made(library):
        target = ProbeTarget(elf_target(library), Attach.UPROBE, "tiny")
        functions = functions_of(TABLE, elf_functions(library))
        few = Preset("few", "one", Cost.LOW, frozenset({"plain"}))
        return load(make_plugin("tiny", [(target, functions)], presets=[few]))

    return made


def test_a_table_of_a_provider_may_name_indirect_functions(site, providers, host, build_elf, tmp_path):
    """They are probed where their implementation is, and described as the table has them."""
    library = build_elf(tmp_path, "libtable.so", SOURCE, "-shared", "-fPIC")
    symbols = {symbol.name: symbol for symbol in elf_functions(library)}
    notes: list[str] = []
    entry = "capture_probes: [{provider: tiny}]"
    plan = compose(site(entry), providers(library), host, report=Report(notes.append))
    found = {function.symbol: function for function in plan.functions}
    assert set(found) == {"chosen", "other", "plain"}
    assert {each.arguments[0].label for each in found.values()} == {"number"}
    assert found["other"].offset == symbols["exported"].offset
    assert "exported" in found["other"].aliases
    assert found["chosen"].offset not in {symbol.offset for symbol in symbols.values()}
    assert notes == []


def test_a_function_of_a_table_that_is_not_placed_has_a_note(site, providers, host, build_elf, tmp_path):
    program = build_elf(tmp_path, "program", SOURCE + "int main(void) { return chosen(other(1)); }", "-rdynamic")
    notes: list[str] = []
    plan = compose(site("capture_probes: [{provider: tiny}]"), providers(program), host, report=Report(notes.append))
    assert [function.symbol for function in plan.functions] == ["plain"]
    reason = f"{program}: 2 indirect functions are left out (chosen, other): the library cannot be loaded: "
    assert reason in notes[0]
    only = "capture_probes: [{provider: tiny, functions: chosen}]"
    with pytest.raises(DatacrumbsError, match="no function to probe is left") as caught:
        compose(site(only), providers(program), host)
    assert f"{program}: 1 indirect function is left out (chosen): " in caught.value.message


def test_what_was_not_selected_has_no_note(site, providers, host, build_elf, tmp_path):
    program = build_elf(tmp_path, "program", SOURCE + "int main(void) { return chosen(other(1)); }", "-rdynamic")
    notes: list[str] = []
    for entry in ("{provider: tiny, preset: few}", "{provider: tiny, functions: plain}"):
        compose(site(f"capture_probes: [{entry}]"), providers(program), host, report=Report(notes.append))
    assert notes == []


def test_code_of_another_root_is_not_run_here(site, providers, host, build_elf, tmp_path):
    library = build_elf(tmp_path, "libtable.so", SOURCE, "-shared", "-fPIC")
    there = replace(host, root=tmp_path)
    for entry in ("{provider: tiny}", f"{{name: x, probe: uprobe, type: binary, file: {library}, regex: '.*'}}"):
        notes: list[str] = []
        plan = compose(site(f"capture_probes: [{entry}]"), providers(library), there, report=Report(notes.append))
        symbols = {function.symbol for function in plan.functions}
        assert "plain" in symbols
        assert not {"chosen", "other"} & symbols
        reason = "the library is not loaded here, since it is of another root directory"
        assert [note.partition(f"{library}: ")[2] for note in notes] == [
            f"2 indirect functions are left out (chosen, other): {reason}"
        ]
