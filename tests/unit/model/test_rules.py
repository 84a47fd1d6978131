"""What a plan cannot say of a call is an error where it comes from, and never a wrong or missing value in a trace."""

from __future__ import annotations

from dataclasses import fields as fields_of
from dataclasses import replace

import pytest

from datacrumbs.engine import function_table, source
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model import rules
from datacrumbs.model.parameters import snippet_uses
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Provenance, Role, Snippet, Target
from datacrumbs.plugins._validation import ContractError, check_functions, check_given_snippets
from datacrumbs.probefile.codec import decode, encode

KERNEL = Target("", "6.1.0")
FILE = Target("/lib/x.so", "ab" * 20)


def named(*roles: Role) -> tuple[Argument, ...]:
    return tuple(Argument(index, f"name{index}", "const char *", role) for index, role in enumerate(roles))


SILENT = [
    pytest.param(
        Attach.UPROBE,
        Function("f", "f", "X", 8, arguments=named(Role.PATH, Role.PATH, Role.STRING, Role.STRING)),
        r"arguments\[3\].role: one name too many; expected at most 3 descriptors, paths and strings",
        id="a fourth name",
    ),
    pytest.param(
        Attach.UPROBE,
        Function("f", "f", "X", 8, arguments=(Argument(6, "seventh"),)),
        r"arguments\[0\].index: 6 is not allowed; expected a whole number from 0 to 5",
        id="an argument on the stack",
    ),
    pytest.param(
        Attach.UPROBE,
        Function("f", "f", "X", 8, arguments=(Argument(9, "tenth", "const char *", Role.PATH),)),
        r"arguments\[0\].index: 9 is not allowed; expected a whole number from 0 to 5",
        id="a path on the stack",
    ),
    pytest.param(
        Attach.TRACEPOINT,
        Function("f", "a:b", "X", arguments=(Argument(128, "field", size=1),)),
        r"arguments\[0\].index: 128 is not allowed; expected a whole number from 0 to 127",
        id="a field beyond the record",
    ),
    pytest.param(
        Attach.TRACEPOINT,
        Function("f", "a:b", "X", arguments=(Argument(124, "field", size=8),)),
        r"arguments\[0\].index: 124 is not allowed; expected a field that ends within the first 128 bytes",
        id="a field across the end of the record",
    ),
    pytest.param(
        Attach.UPROBE,
        Function("f", "f", "X", 8, arguments=named(Role.OUT_HANDLE, Role.OUT_HANDLE)),
        r"arguments\[1\].role: a second new handle; expected at most one",
        id="a second new handle",
    ),
    pytest.param(
        Attach.UPROBE,
        Function("f", "f", "X", 8, arguments=named(Role.HANDLE, Role.CLOSED)),
        r"arguments\[1\].role: behind another handle; expected the one given back to be the first",
        id="a second handle that is given back",
    ),
]


def plan_of(attach: Attach, function: Function, *snippets: Snippet) -> Plan:
    target = FILE if attach in rules.USER_ATTACH else KERNEL
    group = Group("alpha", "a", attach, target, (function,))
    return Plan((Provenance("alpha", "datacrumbs-alpha", "1.0", "a", 1),), (group,), snippets)


@pytest.mark.parametrize(("attach", "function", "words"), SILENT)
def test_what_a_probe_cannot_record_is_refused_in_a_plan(attach: Attach, function: Function, words: str) -> None:
    with pytest.raises(DatacrumbsError, match=rf"groups\[0\].functions\[0\].{words}"):
        decode(encode(plan_of(attach, function)))


@pytest.mark.parametrize(("attach", "function", "words"), SILENT)
def test_what_a_probe_cannot_record_is_refused_of_a_provider(attach: Attach, function: Function, words: str) -> None:
    with pytest.raises(ContractError, match=rf"function '{function.symbol}': {words}"):
        check_functions([function], attach, ())


def test_a_snippet_fills_two_fields_at_most() -> None:
    fields = tuple(Argument(index, f"f{index}") for index in range(3))
    snippet = Snippet(name="s", provider="alpha", text="/* x */ dc_alpha_s_entry(", fields=fields)
    function = Function("f", "f", "X", 8, snippet="s")
    with pytest.raises(DatacrumbsError, match=r"snippets\[0\].fields: 3 elements; expected 0 to 2"):
        decode(encode(plan_of(Attach.UPROBE, function, snippet)))
    with pytest.raises(ContractError, match="snippet 's': fields: 3 elements; expected 0 to 2"):
        check_given_snippets([snippet], "alpha")


def test_every_field_of_a_plan_has_a_rule() -> None:
    for kind, table in rules.RULES.items():
        assert list(table) == [field.name for field in fields_of(kind)], kind
        for entry in table.values():
            assert not isinstance(entry, dict) or set(Attach) <= set(entry)


def test_three_names_are_recorded() -> None:
    function = Function("f", "f", "X", 8, arguments=named(Role.PATH, Role.PATH, Role.STRING))
    plan = plan_of(Attach.UPROBE, function)
    assert decode(encode(plan)) == plan
    assert (function_table.describe(plan)[0]["request"] != 0).all()


def parametrised(*lines: str) -> Snippet:
    text = "\n".join(
        ["/* x */", *lines, "static __always_inline void dc_alpha_s_entry(struct dc_call *call, u32 a) {}"]
    )
    return Snippet(name="s", provider="alpha", text=text)


ONE_PARAMETER = parametrised("DC_PARAMETER(position, 2, 3);")


def test_a_function_gives_its_snippet_numbers() -> None:
    function = Function("f", "f", "X", 8, snippet="s", snippet_arguments=(3,))
    plan = plan_of(Attach.UPROBE, function, ONE_PARAMETER)
    assert decode(encode(plan)) == plan
    assert check_functions([function], Attach.UPROBE, [ONE_PARAMETER]) == (function,)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), r"snippet_arguments: 0 elements; expected 1 for snippet s: position"),
        ((2, 3), r"snippet_arguments: 2 elements; expected 1"),
        ((4,), r"snippet_arguments\[0\]: 4 is not allowed; expected a whole number from 2 to 3: position of snippet s"),
        ((4096,), r"snippet_arguments\[0\]: 4096 is not allowed; expected a whole number from 0 to 4095"),
        ((True,), r"snippet_arguments\[0\]: True is not allowed"),
        (("3); evil(",), r"snippet_arguments\[0\]: '3\); evil\(' is not allowed"),
        ((2,) * 5, r"snippet_arguments: 5 elements; expected 0 to 4"),
    ],
)
def test_other_numbers_than_the_snippet_declares_are_refused(given: tuple[int, ...], words: str) -> None:
    function = Function("f", "f", "X", 8, snippet="s", snippet_arguments=given)
    with pytest.raises(DatacrumbsError, match=rf"groups\[0\].functions\[0\].{words}"):
        decode(encode(plan_of(Attach.UPROBE, function, ONE_PARAMETER)))
    with pytest.raises(ContractError, match=rf"function 'f': {words}"):
        check_functions([function], Attach.UPROBE, [ONE_PARAMETER])


def test_numbers_without_a_snippet_are_refused() -> None:
    function = Function("f", "f", "X", 8, snippet_arguments=(2,))
    with pytest.raises(DatacrumbsError, match="snippet: '' is not allowed; expected a snippet of this provider"):
        decode(encode(plan_of(Attach.UPROBE, function, ONE_PARAMETER)))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("DC_PARAMETER(position, 3, 2);",), "parameter position: 3, 2; expected 0 to 4095, the lower limit first"),
        (("DC_PARAMETER(position, 0, 5000);",), "parameter position: 0, 5000; expected 0 to 4095"),
        (("DC_PARAMETER(position, 0, LIMIT);",), "a parameter of another form; expected `DC_PARAMETER"),
        (("/* DC_PARAMETER(position, 0, 2); */",), "a parameter of another form"),
        (tuple(f"DC_PARAMETER(p{index}, 0, 1);" for index in range(5)), "5 parameters; expected at most 4"),
    ],
)
def test_parameters_of_another_form_are_refused(lines: tuple[str, ...], words: str) -> None:
    snippet = parametrised(*lines)
    with pytest.raises(DatacrumbsError, match=words):
        decode(encode(plan_of(Attach.UPROBE, Function("f", "f", "X", 8), snippet)))
    with pytest.raises(ContractError, match=words):
        check_given_snippets([snippet], "alpha")


def test_each_snippet_and_its_numbers_have_one_number_in_the_program() -> None:
    functions = tuple(
        Function(f"f{offset}", f"f{offset}", "X", offset, snippet="s", snippet_arguments=(offset % 2 + 2,))
        for offset in range(1, 8)
    )
    plan = replace(plan_of(Attach.UPROBE, functions[0], ONE_PARAMETER), groups=(group_of(functions),))
    assert snippet_uses(plan) == {("alpha", "s", (2,)): 1, ("alpha", "s", (3,)): 2}
    assert function_table.describe(plan)["snippet"].tolist() == [2, 1, 2, 1, 2, 1, 2]
    text = source.assemble(plan)
    assert "#define DC_SNIPPETS_ENTRY(CASE) CASE(1, dc_alpha_s_entry, 2) CASE(2, dc_alpha_s_entry, 3)\n" in text
    assert text.count("DC_PARAMETER(position, 2, 3);") == 1


def test_a_program_has_room_for_255_snippets() -> None:
    snippet = parametrised("DC_PARAMETER(number, 0, 4095);")
    functions = tuple(
        Function(f"f{number}", f"f{number}", "X", number + 1, snippet="s", snippet_arguments=(number,))
        for number in range(257)
    )
    plan = replace(plan_of(Attach.UPROBE, functions[0], snippet), groups=(group_of(functions[:255]),))
    assert decode(encode(plan)) == plan
    assert function_table.describe(plan)["snippet"].max() == 255
    with pytest.raises(DatacrumbsError, match="257 snippets, each with its arguments; expected at most 255"):
        decode(encode(replace(plan, groups=(group_of(functions),))))


def group_of(functions: tuple[Function, ...]) -> Group:
    return Group("alpha", "a", Attach.UPROBE, FILE, functions)
