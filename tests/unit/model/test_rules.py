"""What a plan cannot say of a call is an error where it comes from, and never a wrong or missing value in a trace."""

from __future__ import annotations

from dataclasses import fields

import pytest

from datacrumbs.engine import function_table
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model import rules
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Provenance, Role, Snippet, Target
from datacrumbs.plugins._validation import ContractError, check_functions, check_snippets
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
    snippet = Snippet(
        "s", "alpha", "/* x */ dc_alpha_s_entry(", tuple(Argument(index, f"f{index}") for index in range(3))
    )
    function = Function("f", "f", "X", 8, snippet="s")
    with pytest.raises(DatacrumbsError, match=r"snippets\[0\].fields: 3 elements; expected 0 to 2"):
        decode(encode(plan_of(Attach.UPROBE, function, snippet)))
    with pytest.raises(ContractError, match="snippet 's': fields: 3 elements; expected 0 to 2"):
        check_snippets([snippet], "alpha")


def test_every_field_of_a_plan_has_a_rule() -> None:
    for kind, table in rules.RULES.items():
        assert list(table) == [field.name for field in fields(kind)], kind
        for entry in table.values():
            assert not isinstance(entry, dict) or set(Attach) <= set(entry)


def test_three_names_are_recorded() -> None:
    function = Function("f", "f", "X", 8, arguments=named(Role.PATH, Role.PATH, Role.STRING))
    plan = plan_of(Attach.UPROBE, function)
    assert decode(encode(plan)) == plan
    assert (function_table.describe(plan)[0]["request"] != 0).all()
