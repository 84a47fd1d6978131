"""Plans to canonical JSON and back.

Equal plans give equal bytes: keys sorted, no white space, UTF-8. What comes back is checked key
by key, since it may be a stranger's; a `Plan` from `decode` need not be checked again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import marshal
import re
from itertools import islice
from json.encoder import encode_basestring
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import RECREATE, DatacrumbsError, reworded, usage_error
from datacrumbs.model import parameters, problems, rule_kinds, rules
from datacrumbs.model.plan import FORMAT, FUNCTION_LIMIT, Argument, Attach, Function, Group, Plan, Snippet
from datacrumbs.probefile.schema import checked, choice, items, mapping, problem, shown_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from datacrumbs.probefile.schema import Place

ANY_FORMAT = re.compile(r"datacrumbs-plan/([1-9][0-9]{0,8})")
KEYS = {kind: frozenset(field.name for field in dataclasses.fields(kind)) for kind in rules.RULES}
_FORMS = {
    kind: ("{" + ",".join(f'"{key}":%s' for key in sorted(keys)) + "}", attrgetter(*sorted(keys)))
    for kind, keys in KEYS.items()
}
"""Dataclass -> its canonical form, and what gives the values for it."""
_COMPARABLE = frozenset((str, int, bool, list))
"""Types of which equal values of one type are alike; lists when they are spelled out."""


def encode(plan: Plan) -> bytes:
    """The canonical bytes of a plan. They are not checked; `decode` does.

    Raises:
        DatacrumbsError: (exit 2) for a string that UTF-8 cannot carry.
    """
    return _in_utf8(_Rendering().text(plan))


def canonical(document: object) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8, no floating-point numbers expected."""
    return _in_utf8(_spelled(document))


def _spelled(document: object) -> str:
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_no_value
    )


def _in_utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise usage_error(
            f"plan: {error.object[error.start : error.end]!a}: not Unicode text; expected names in UTF-8",
            "rename the file, or leave it out of the site file",
        ) from None


def decode(data: bytes) -> Plan:
    """Read a plan from its canonical bytes.

    Raises:
        DatacrumbsError: (exit 2) naming the key and what was expected there.
    """
    plan = plan_from_document(read_json(data, "plan"))
    check_canonical(encode(plan), data, "plan")
    return plan


def digest(plan_bytes: bytes) -> str:
    """SHA-256 in hex of a plan's canonical bytes."""
    return hashlib.sha256(plan_bytes).hexdigest()


def snippet_digest(source: str) -> str:
    """SHA-256 in hex of a snippet's text, as the list of trusted snippets has it."""
    return hashlib.sha256(source.encode()).hexdigest()


def parse(data: bytes, name: str) -> object:
    """JSON without duplicate keys and without NaN; ``name`` is what messages call it.

    Raises:
        DatacrumbsError: (exit 2).
    """
    return _loads(data, name, _unique)


def parse_canonical(data: bytes, name: str) -> object:
    """JSON in canonical form; ``name`` is what messages call it.

    Raises:
        DatacrumbsError: (exit 2).
    """
    document = read_json(data, name)
    check_canonical(canonical(document), data, name)
    return document


def read_json(data: bytes, name: str) -> object:
    """JSON whose form is still to be checked (`check_canonical`); ``name`` is what messages call it.

    Raises:
        DatacrumbsError: (exit 2).
    """
    return _loads(data, name, None)


def check_canonical(expected: bytes, data: bytes, name: str) -> None:
    """Check that JSON is in its canonical form.

    Args:
        expected: The canonical bytes of what was read from it.
        data: Its bytes.
        name: What messages call it.

    Raises:
        DatacrumbsError: (exit 2).
    """
    if data != expected:
        parse(data, name)  # says what is wrong, if it is no more than the form
        raise usage_error(f"{name}: not in canonical form; expected sorted keys without white space")


def _loads(data: bytes, name: str, pairs: Callable[[list[tuple[str, object]]], object] | None) -> object:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=_no_value)
    except (ValueError, TypeError, RecursionError) as error:
        raise usage_error(f"{name}: not valid JSON: {ascii(str(error))[1:-1][:200]}; expected UTF-8 JSON") from None


def plan_from_document(document: object) -> Plan:
    """Check a parsed plan.

    Raises:
        DatacrumbsError: (exit 2) naming the key and what was expected there.
    """
    with reworded("plan: "):
        _check_format(document)
        try:
            plan: Plan = _PlanReader().read(Plan, document, "")
        except (RecursionError, ValueError):  # from what shows or compares a value that is nested too deeply
            raise usage_error("lists and objects are nested more deeply than in any plan") from None
        _check_references(plan)
        _check_places(plan)
    return plan


def function_problem(function: Function, attach: Attach) -> str:
    """Why a plan cannot carry a function that is probed by ``attach``; empty when it can."""
    try:
        _PlanReader(attach).read(Function, json.loads(_Rendering().text(function)), "function")
    except DatacrumbsError as error:
        return error.message
    return ""


class _Rendering:
    """Canonical JSON of a plan, or of a part of it, field by field; what functions share is rendered once."""

    def __init__(self) -> None:
        self._lists: dict[int, str] = {}  # by identity, which lasts as long as the plan is there

    def text(self, value: object) -> str:
        (text,) = self._texts((value,))
        return text

    def _texts(self, values: Sequence[Any]) -> list[str]:
        kinds = set(map(type, values))
        if len(kinds) > 1:
            return list(map(self.text, values))
        kind = kinds.pop() if kinds else str
        if issubclass(kind, str):  # a member of an enumeration as well
            return list(map(encode_basestring, values))
        if kind is int:
            return list(map(str, values))
        if kind in _FORMS:
            form, parts = _FORMS[kind]
            columns = map(self._texts, zip(*map(parts, values), strict=True))
            return [form % each for each in zip(*columns, strict=True)]
        return self._texts_of_lists(values) if kind is tuple else list(map(_spelled, values))

    def _texts_of_lists(self, values: Sequence[tuple[Any, ...]]) -> list[str]:
        if not any(values):
            return ["[]"] * len(values)
        keys = list(map(id, values))
        fresh = {key: value for key, value in zip(keys, values, strict=True) if key not in self._lists}
        texts = iter(self._texts([entry for value in fresh.values() for entry in value]))
        for key, value in fresh.items():
            self._lists[key] = f"[{','.join(islice(texts, len(value)))}]"
        return [self._lists[key] for key in keys]


def _no_value(value: object) -> object:
    raise TypeError(f"{value} is not a JSON value")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return document


# A plan of another version has other keys as well, and those are not what is wrong with it.
def _check_format(document: object) -> None:
    given = document.get("format") if isinstance(document, dict) else None
    match = ANY_FORMAT.fullmatch(given) if isinstance(given, str) else None
    if match is None or given == FORMAT:
        return
    if int(match[1]) > int(FORMAT.rpartition("/")[2]):
        raise usage_error(
            f"format: {given} is newer than {FORMAT}, which this version of datacrumbs reads",
            f"update datacrumbs here, or {RECREATE} of this version",
        )
    raise usage_error(
        f"format: {given} was made by an earlier version of datacrumbs; this one reads {FORMAT}",
        RECREATE,
    )


class _PlanReader:
    """Documents to dataclasses of the plan, by the table of rules.

    The documents of a list are read field by field: most functions have the values of other ones, which are read once.
    """

    def __init__(self, attach: rule_kinds.Context = None) -> None:
        self._attach = attach

    def read(self, kind: type[Any], document: object, at: Place) -> Any:
        """One dataclass."""
        (made,) = self._read_all(kind, [document], [at])
        return made

    def _read_all(self, kind: type[Any], documents: Sequence[object], places: Sequence[Place]) -> list[Any]:
        given = [mapping(document, at, KEYS[kind]) for document, at in zip(documents, places, strict=True)]
        if kind is Group and self._attach is None:
            return list(map(_group, given, places))
        table = rules.TABLE[kind, self._attach]
        columns = [_moved(self._column([each[name] for each in given], name, places, rule)) for name, rule in table]
        if kind is Snippet:  # takes its values by their names only
            names = [name for name, _ in table]
            return [kind(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]
        return list(map(kind, *columns))

    def _column(
        self, values: Sequence[Any], name: str, places: Sequence[Place], rule: rule_kinds.AnyRule
    ) -> Sequence[Any]:
        kinds = set(map(type, values))
        if len(values) < 2 or len(kinds) > 1 or not kinds <= _COMPARABLE:
            return self._read_values(values, [(at, name) for at in places], rule)
        if not any(values):  # as most fields are of most functions
            return list(self._read_values(values[:1], [(places[0], name)], rule)) * len(values)
        if kinds == {int}:  # most differ, and a hostile plan could choose numbers whose hashes are equal
            return self._read_values(values, [(at, name) for at in places], rule)
        spellings = [marshal.dumps(value, 1) for value in values] if kinds == {list} else values
        first = dict(zip(reversed(spellings), zip(reversed(values), reversed(places), strict=True), strict=True))
        different, where = zip(*reversed(first.values()), strict=True)
        read = self._read_values(different, [(at, name) for at in where], rule)
        known = dict(zip(reversed(first), read, strict=True))
        return [known[spelling] for spelling in spellings]

    def _read_values(
        self, values: Sequence[Any], places: Sequence[Place], rule: rule_kinds.AnyRule | type
    ) -> Sequence[Any]:
        if isinstance(rule, rule_kinds.Many):
            return self._lists(values, places, rule)
        if isinstance(rule, rule_kinds.Member):
            return [choice(value, at, rule) for value, at in zip(values, places, strict=True)]
        if isinstance(rule, rule_kinds.Rule):
            return [checked(value, at, rule) for value, at in zip(values, places, strict=True)]
        return self._read_all(rule.of if isinstance(rule, rule_kinds.Part) else rule, values, places)

    def _lists(self, values: Sequence[Any], places: Sequence[Place], many: rule_kinds.Many) -> Sequence[Any]:
        limits = (many.low, many.high)
        lists = [items(value, at, limits, _with_place) for value, at in zip(values, places, strict=True)]
        pairs = [pair for each in lists for pair in each]
        read = iter(self._read_values([entry for entry, _ in pairs], [place for _, place in pairs], many.of))
        made = [tuple(islice(read, len(each))) for each in lists]
        if many.of is Argument:
            for arguments, at in zip(made, places, strict=True):
                _raise_first(problems.argument_problems(arguments, self._attach), at)
        return made


# The allocator gives memory back a megabyte at a time, when nothing is left in it. A document is many times as large as
# what stays of it, so its texts and numbers do not stay where they are, between all the rest.
def _moved(values: Sequence[Any]) -> Sequence[Any]:
    if {*map(type, values)} not in ({str}, {int}):
        return values
    moved: list[Any] = marshal.loads(marshal.dumps(list(values)))  # noqa: S302 - of what is here already
    return moved


def _with_place(entry: object, at: Place) -> tuple[object, Place]:
    return entry, at


# Its way to attach says by which rules the rest is read.
def _group(document: dict[str, object], at: Place) -> Group:
    attach = choice(document["attach"], (at, "attach"), rules.ATTACH)
    group: Group = _PlanReader(attach).read(Group, document, at)
    return group


def _raise_first(problems: Iterable[problems.Problem], at: Place) -> None:
    for found in problems:
        for step in found.path:
            at = (at, step)
        raise usage_error(f"{shown_place(at)}: {found.text}")


# What names something elsewhere in the plan names something that is there, once.
def _check_references(plan: Plan) -> None:
    names = [provider.name for provider in plan.providers]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise usage_error(f"providers[{index}].name: {name} appears twice; expected each provider once")
    snippets = _snippets_by_name(plan, names)
    if (total := len(plan.functions)) > FUNCTION_LIMIT:
        raise usage_error(f"groups: {total} functions; expected at most {FUNCTION_LIMIT}")
    if (uses := len(parameters.snippet_uses(plan))) > rules.SNIPPET_USE_LIMIT:
        raise usage_error(
            f"groups: {uses} snippets, each with its arguments; expected at most {rules.SNIPPET_USE_LIMIT}"
        )
    for at, group in _groups(plan):
        if group.provider not in names:
            raise problem((at, "provider"), group.provider, "a provider of this plan")
        for index, function in enumerate(group.functions):
            if function.snippet or function.snippet_arguments:
                used = snippets.get((group.provider, function.snippet))
                _raise_first(problems.snippet_use_problems(function, used), ((at, "functions"), index))


def _snippets_by_name(plan: Plan, providers: list[str]) -> dict[tuple[str, str], Snippet]:
    snippets: dict[tuple[str, str], Snippet] = {}
    for index, snippet in enumerate(plan.snippets):
        if snippet.provider not in providers:
            raise problem(f"snippets[{index}].provider", snippet.provider, "a provider of this plan")
        if (snippet.provider, snippet.name) in snippets:
            raise usage_error(f"snippets[{index}].name: {snippet.name} appears twice; expected each snippet once")
        _raise_first(problems.parameter_problems(snippet.text), ("snippets", index))
        snippets[snippet.provider, snippet.name] = snippet
    return snippets


# Two probes at one place would count every call twice.
def _check_places(plan: Plan) -> None:
    seen: set[tuple[str, str, str | int]] = set()
    for at, group in _groups(plan):
        for index, function in enumerate(group.functions):
            by_name = group.attach in {Attach.TRACEPOINT, Attach.KPROBE}
            place = function.symbol if by_name else function.offset
            key = (group.attach.value, group.target.path, place)
            if key in seen:
                raise usage_error(
                    f"{at}.functions[{index}]: {place} is probed twice; expected one function with aliases"
                )
            seen.add(key)


def _groups(plan: Plan) -> Iterator[tuple[str, Group]]:
    return ((f"groups[{index}]", group) for index, group in enumerate(plan.groups))
