"""Plans to canonical JSON and back.

Equal plans give equal bytes: keys sorted, no white space, UTF-8. What comes back is checked key
by key, since it may be a stranger's; a `Plan` from `decode` need not be checked again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import RECREATE, DatacrumbsError, usage_error
from datacrumbs.model import parameters, problems, rule_kinds, rules
from datacrumbs.model.plan import FORMAT, FUNCTION_LIMIT, Argument, Attach, Function, Group, Plan, Snippet
from datacrumbs.probefile.schema import checked, choice, items, mapping, problem, shown_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from datacrumbs.probefile.schema import Place

ANY_FORMAT = re.compile(r"datacrumbs-plan/([1-9][0-9]{0,8})")
KEYS = {kind: frozenset(field.name for field in dataclasses.fields(kind)) for kind in rules.RULES}


def encode(plan: Plan) -> bytes:
    """The canonical bytes of a plan. They are not checked; `decode` does.

    Raises:
        DatacrumbsError: (exit 2) for a string that UTF-8 cannot carry.
    """
    return canonical(_plain(plan))


def canonical(document: object) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8, no floating-point numbers expected."""
    try:
        return json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_no_value
        ).encode()
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
    return plan_from_document(parse_canonical(data, "plan"))


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
    document = _loads(data, name, None)
    if canonical(document) != data:
        parse(data, name)  # says what is wrong, if it is no more than the form
        raise usage_error(f"{name}: not in canonical form; expected sorted keys without white space")
    return document


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
    plan = _plan(document)
    _check_references(plan)
    _check_places(plan)
    return plan


def function_problem(function: Function, attach: Attach) -> str:
    """Why a plan cannot carry a function that is probed by ``attach``; empty when it can."""
    try:
        _PlanReader(attach).read(Function, _plain(function), "function")
    except DatacrumbsError as error:
        return error.message.removeprefix("plan: ")
    return ""


# dataclasses.asdict copies every leaf, three times slower.
def _plain(value: object) -> object:
    kind = type(value)
    if kind in KEYS:
        return {key: _plain(getattr(value, key)) for key in KEYS[kind]}
    if kind is tuple:
        return [_plain(entry) for entry in value]  # type: ignore[attr-defined]
    return value


def _no_value(value: object) -> object:
    raise TypeError(f"{value} is not a JSON value")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return document


def _plan(document: object) -> Plan:
    _check_format(document)
    plan: Plan = _PlanReader().read(Plan, document, "")
    return plan


# A plan of another version has other keys as well, and those are not what is wrong with it.
def _check_format(document: object) -> None:
    given = document.get("format") if isinstance(document, dict) else None
    match = ANY_FORMAT.fullmatch(given) if isinstance(given, str) else None
    if match is None or given == FORMAT:
        return
    if int(match[1]) > int(FORMAT.rpartition("/")[2]):
        raise usage_error(
            f"plan: format: {given} is newer than {FORMAT}, which this version of datacrumbs reads",
            f"update datacrumbs here, or {RECREATE} of this version",
        )
    raise usage_error(
        f"plan: format: {given} was made by an earlier version of datacrumbs; this one reads {FORMAT}",
        RECREATE,
    )


class _PlanReader:
    """Documents to dataclasses of the plan, by the table of rules."""

    def __init__(self, attach: rule_kinds.Context = None) -> None:
        self._attach = attach
        # Most functions have the arguments of another one: those that were read, by their spelling.
        self._arguments: dict[str, object] = {}

    def read(self, kind: type[Any], document: object, at: Place) -> Any:
        """One dataclass."""
        given = mapping(document, at, KEYS[kind])
        if kind is Group and self._attach is None:
            return _PlanReader(choice(given["attach"], (at, "attach"), rules.ATTACH)).read(kind, document, at)
        table = rules.TABLE[kind, self._attach]
        return kind(**{name: self._value(given[name], (at, name), rule) for name, rule in table})

    def _value(self, value: object, at: Place, rule: rule_kinds.AnyRule | type) -> Any:
        if isinstance(rule, rule_kinds.Rule):
            return choice(value, at, rule) if isinstance(rule, rule_kinds.Member) else checked(value, at, rule)
        if isinstance(rule, rule_kinds.Part):
            return self.read(rule.of, value, at)
        if isinstance(rule, type):
            return self.read(rule, value, at)
        if rule.of is not Argument:
            return self._items(value, at, rule)
        spelling = repr(value)
        if spelling not in self._arguments:
            arguments = self._items(value, at, rule)
            _raise_first(problems.argument_problems(arguments, self._attach), at)
            self._arguments[spelling] = arguments
        return self._arguments[spelling]

    def _items(self, value: object, at: Place, rule: rule_kinds.Many) -> Any:
        return items(value, at, (rule.low, rule.high), lambda entry, place: self._value(entry, place, rule.of))


def _raise_first(problems: Iterable[problems.Problem], at: Place) -> None:
    for found in problems:
        for step in found.path:
            at = (at, step)
        raise usage_error(f"plan: {shown_place(at)}: {found.text}")


# What names something elsewhere in the plan names something that is there, once.
def _check_references(plan: Plan) -> None:
    names = [provider.name for provider in plan.providers]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise usage_error(f"plan: providers[{index}].name: {name} appears twice; expected each provider once")
    snippets = _snippets_by_name(plan, names)
    if (total := len(plan.functions)) > FUNCTION_LIMIT:
        raise usage_error(f"plan: groups: {total} functions; expected at most {FUNCTION_LIMIT}")
    if (uses := len(parameters.snippet_uses(plan))) > rules.SNIPPET_USE_LIMIT:
        raise usage_error(
            f"plan: groups: {uses} snippets, each with its arguments; expected at most {rules.SNIPPET_USE_LIMIT}"
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
            raise usage_error(f"plan: snippets[{index}].name: {snippet.name} appears twice; expected each snippet once")
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
                    f"plan: {at}.functions[{index}]: {place} is probed twice; expected one function with aliases"
                )
            seen.add(key)


def _groups(plan: Plan) -> Iterator[tuple[str, Group]]:
    return ((f"groups[{index}]", group) for index, group in enumerate(plan.groups))
