from __future__ import annotations

import pytest

from datacrumbs.plugins._validation import (
    ContractError,
    check_functions,
    check_given_snippets,
    check_given_targets,
    check_origin,
    check_preset_names,
    check_presets,
    check_provider_description,
)
from datacrumbs.provider import (
    Argument,
    Attach,
    Cost,
    Function,
    Layer,
    Option,
    Preset,
    ProbeTarget,
    Provider,
    Role,
    Snippet,
    Target,
)

TEXT = "static void dc_alpha_one_entry(struct dc_call *call) {}"
ONE = Snippet(name="one", text=TEXT, fields=(Argument(0, "bytes", role=Role.BYTES),))


def arguments(count: int) -> tuple[Argument, ...]:
    return tuple(Argument(index, f"argument{index}") for index in range(count))


@pytest.mark.parametrize(
    ("functions", "attach", "words"),
    [
        ([Function("a", "a", "X", 8, arguments=arguments(7))], Attach.UPROBE, "arguments: 7 elements; expected 0 to 6"),
        (
            [Function("a", "a", "X", 8, arguments=arguments(6), snippet="one")],
            Attach.UPROBE,
            "6 arguments and 1 field of snippet one; expected at most 6",
        ),
        ([Function("a", "a", "X", 8, snippet="two")], Attach.UPROBE, "snippet: 'two' is not allowed"),
        ([Function("a", "a", "X", offset=8), Function("b", "b", "X", offset=8)], Attach.UPROBE, "offset 8 appears"),
        ([Function("a", "a", "X"), Function("b", "a", "X")], Attach.KPROBE, "function 'a' appears twice"),
        ([Function("a", "a", "X", offset=-1)], Attach.UPROBE, "offset: -1 is not"),
        ([Function("a b", "a", "X", 8)], Attach.UPROBE, "name: 'a b' is not allowed; expected a printable symbol"),
        ([Function("a", "a", "X Y", 8)], Attach.UPROBE, "category"),
        ([Function("a", "a", "X", 8, result="bytes")], Attach.UPROBE, "result: 'bytes' is not allowed"),
        ([Function("a", "a", "X", 8, arguments=(Argument(0, "Fd"),))], Attach.UPROBE, "expected lower case letters"),
        ([Function("a", "a", "X", 8, arguments=(Argument(0, "fd", size=3),))], Attach.UPROBE, "expected 1, 2, 4 or 8"),
        (
            [Function("a", "a", "X", 8, arguments=(Argument(0, "fd", role="fd!"),))],
            Attach.UPROBE,
            "role: .fd!. is not",
        ),
        (
            [Function("a", "a", "X", 8, arguments=(Argument(0, "fd"), Argument(1, "fd")))],
            Attach.UPROBE,
            "used twice",
        ),
    ],
)
def test_functions_that_break_the_contract(functions, attach, words):
    with pytest.raises(ContractError, match=words):
        check_functions(functions, attach, [ONE])


def test_several_places_of_one_usdt_probe_keep_the_contract():
    probes = [Function("p", "python:p", "X", offset=8), Function("p", "python:p", "X", offset=24)]
    assert check_functions(probes, Attach.USDT, ()) == tuple(probes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": ""}, "title"),
        ({"layer": "libc"}, "layer is 'libc'; expected a Layer"),
        ({"options": (Option("a", "list", "x", ""),) * 2}, "option 'a' appears twice"),
        ({"options": (Option("A", "string", "x", ""),)}, "not a lower case word"),
        ({"options": (Option("a", "number", 1, ""),)}, "expected one of string, integer, boolean, list"),
        ({"options": (Option("a", "integer", "1", ""),)}, "default is '1' is not a whole number"),
        ({"options": (Option("a", "string", "x", "", ("y",)),)}, "expected one of y"),
    ],
)
def test_descriptions_that_break_the_contract(changes, words):
    described = {"title": "t", "layer": Layer.LIBRARY}
    with pytest.raises(ContractError, match=words):
        check_provider_description(Provider(**(described | changes)))


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (("Alpha", "d", "1"), "name is 'Alpha'; expected lower case letters"),
        (("alpha", "-d", "1"), "distribution is '-d'"),
        (("alpha", "d", "1\n2"), "version is "),
    ],
)
def test_entry_points_that_break_the_contract(origin, words):
    with pytest.raises(ContractError, match=words):
        check_origin(*origin)


def test_a_description_must_be_a_provider():
    with pytest.raises(ContractError, match="returned dict"):
        check_provider_description({})


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (ProbeTarget(Target("", "6.1"), Attach.UPROBE, "x"), "path: .. is not allowed"),
        (
            ProbeTarget(Target("/lib/x.so", "6.1"), Attach.SYSCALL, "x"),
            "expected '' .the kernel. for this way",
        ),
        (ProbeTarget(Target("/lib/x.so", ""), Attach.UPROBE, "x"), "build_id: '' is not allowed"),
    ],
)
def test_targets_that_break_the_contract(target, words):
    with pytest.raises(ContractError, match=words):
        check_given_targets([target])


@pytest.mark.parametrize(
    ("snippet", "words"),
    [
        (Snippet(name="one", provider="beta", text=TEXT), "its provider is 'beta'"),
        (Snippet(name="two", text=TEXT), "neither dc_alpha_two_entry nor"),
        (
            Snippet(name="one", text=TEXT, fields=(Argument(1, "bytes"),)),
            "fields.0..index: 1 is not allowed",
        ),
        (
            Snippet(name="one", text=TEXT, fields=(Argument(0, "path", role=Role.PATH),)),
            "fields.0..role: .*'path'.* is not allowed",
        ),
    ],
)
def test_snippets_that_break_the_contract(snippet, words):
    with pytest.raises(ContractError, match=words):
        check_given_snippets([snippet], "alpha")


def test_two_presets_of_one_name_break_the_contract():
    with pytest.raises(ContractError, match="appears twice"):
        check_presets([Preset("all", "", Cost.LOW)] * 2)


def test_a_preset_that_gives_its_names_late_is_not_asked_before_it_is_used():
    assert check_presets([Preset("late", "", Cost.LOW, lambda: pytest.fail("asked"))])
    with pytest.raises(ContractError, match="'late': functions is not a frozenset"):
        check_preset_names({"a"}, "late")
