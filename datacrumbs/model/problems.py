"""What is wrong with what a plan or a provider says, by the table of rules and by rules of several fields together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from datacrumbs.model.parameters import snippet_parameters
from datacrumbs.model.plan import ARGUMENT_LIMIT, FUNCTION_LIMIT, Argument, Attach, Function, Role, Snippet
from datacrumbs.model.rule_kinds import AnyRule, Context, Many, Part, Rule, or_empty, text
from datacrumbs.model.rules import (
    HANDLE_ROLES,
    NAMED_LIMIT,
    NAMED_ROLES,
    PARAMETER_LIMIT,
    PARAMETER_VALUE_LIMIT,
    RECORD_LIMIT,
    TABLE,
    WORD,
)
from datacrumbs.output import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names and types in files are whatever compilers and languages make; composing passes over what a plan cannot carry.
_OF_PROVIDERS: dict[tuple[type, str], AnyRule] = {
    (Function, "name"): text("a printable symbol", r"[!-~]+", 1024),
    (Function, "symbol"): text("a printable symbol", r"[!-~]+", 1024),
    (Function, "aliases"): Many(0, FUNCTION_LIMIT, Rule("a symbol", lambda value: isinstance(value, str))),
    (Snippet, "provider"): or_empty(WORD),  # filled in from the entry point
    (Argument, "ctype"): Rule("a C type", lambda value: isinstance(value, str)),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: fields and positions from the value that was checked."""

    path: tuple[str | int, ...]
    text: str

    def __str__(self) -> str:
        shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).lstrip(".")
        return f"{shown}: {self.text}" if shown else self.text


def problems(value: Any, attach: Context = None) -> Iterator[Problem]:
    """What a plan does not allow of a dataclass that a provider made, names and types in files aside."""
    kind: type = type(value)
    for field, found in _table(kind, attach):
        given = getattr(value, field)
        if not (isinstance(found, Rule) and found.allows(given)):
            yield from value_problems(given, found, attach, (field,))
    if isinstance(value, Snippet):
        yield from parameter_problems(value.text)


@cache
def _table(kind: type, attach: Context) -> tuple[tuple[str, AnyRule], ...]:
    return tuple((field, _OF_PROVIDERS.get((kind, field), found)) for field, found in TABLE[kind, attach])


def value_problems(value: Any, found: AnyRule, attach: Context, path: tuple[str | int, ...] = ()) -> Iterator[Problem]:
    """What a rule does not allow of a value."""
    if isinstance(found, Rule):
        if not found.allows(value):
            yield Problem(path, f"{value!r} is not allowed; expected {found.expected}")
    elif isinstance(found, Part):
        yield from _element_problems(value, found.of, path, attach)
    elif not isinstance(value, tuple):
        yield Problem(path, f"a {type(value).__name__}; expected a tuple")
    elif not found.low <= len(value) <= found.high:
        yield Problem(path, f"{counted(len(value), 'element')}; expected {found.expected}")
    else:
        inside = [
            each
            for position, element in enumerate(value)
            for each in _element_problems(element, found.of, (*path, position), attach)
        ]
        yield from inside
        if found.of is Argument and not inside:
            yield from (Problem((*path, *each.path), each.text) for each in argument_problems(value, attach))


def _element_problems(value: Any, of: Rule | type, path: tuple[str | int, ...], attach: Context) -> Iterator[Problem]:
    if isinstance(of, Rule):
        yield from value_problems(value, of, attach, path)
    elif isinstance(value, of):
        yield from (Problem((*path, *each.path), each.text) for each in problems(value, attach))
    else:
        yield Problem(path, f"a {type(value).__name__}; expected {of.__name__}")


# ---- rules of several fields together ----


def named_arguments(arguments: tuple[Argument, ...]) -> list[tuple[int, Argument, bool]]:
    """Those whose file or name the kernel side finds: position, argument, and whether it is the call's file.

    A descriptor is not among them when the call has its file already, from a path or a handle before it.
    """
    found: list[tuple[int, Argument, bool]] = []
    has_file = False
    for position, argument in enumerate(arguments):
        if argument.role in HANDLE_ROLES:
            has_file = True
        elif argument.role in NAMED_ROLES and not (argument.role is Role.FD and has_file):
            is_file = argument.role in {Role.FD, Role.PATH} and not has_file
            found.append((position, argument, is_file))
            has_file |= is_file
    return found


def with_few_names(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Arguments that a description in a file gave, of which no more are followed than the kernel side can find."""
    beyond = {position for position, _, _ in named_arguments(arguments)[NAMED_LIMIT:]}
    return tuple(
        replace(argument, role=Role.VALUE if argument.role in {Role.FD, Role.TARGET_FD} else Role.OUT)
        if position in beyond
        else argument
        for position, argument in enumerate(arguments)
    )


def argument_problems(arguments: tuple[Argument, ...], attach: Context) -> Iterator[Problem]:
    """What is wrong with the arguments of a function, or the fields of a snippet, taken together."""
    labels = [argument.label for argument in arguments]
    for position, label in enumerate(labels):
        if label in labels[:position]:
            yield Problem((position, "label"), f"{label} is used twice; expected labels that differ")
    if attach is None:
        yield from _field_problems(arguments)
    elif attach is Attach.TRACEPOINT:
        yield from _record_problems(arguments)
    else:
        yield from _role_problems(arguments)


def _field_problems(fields: tuple[Argument, ...]) -> Iterator[Problem]:
    for position, field in enumerate(fields):
        if field.index != position:
            expected = f"expected {position}, its place in the list"
            yield Problem((position, "index"), f"{field.index} is not allowed; {expected}")


def _record_problems(arguments: tuple[Argument, ...]) -> Iterator[Problem]:
    for position, argument in enumerate(arguments):
        if argument.index + argument.size > RECORD_LIMIT:
            expected = f"expected a field that ends within the first {RECORD_LIMIT} bytes of the record"
            yield Problem((position, "index"), f"{argument.index} is not allowed; {expected}")


def _role_problems(arguments: tuple[Argument, ...]) -> Iterator[Problem]:
    for position, _, _ in named_arguments(arguments)[NAMED_LIMIT:]:
        expected = f"expected at most {NAMED_LIMIT} descriptors, paths and strings in a function"
        yield Problem((position, "role"), f"one name too many; {expected}")
    roles = [argument.role for argument in arguments]
    handles = [position for position, role in enumerate(roles) if role in HANDLE_ROLES]
    for position in handles[1:]:
        if roles[position] is not Role.HANDLE:
            yield Problem((position, "role"), "behind another handle; expected the one given back to be the first")
    made = [position for position, role in enumerate(roles) if role is Role.OUT_HANDLE]
    for position in made[1:]:
        yield Problem((position, "role"), "a second new handle; expected at most one in a function")


def parameter_problems(source: str) -> Iterator[Problem]:
    """What is wrong with the parameters that a snippet's text declares."""
    parameters = snippet_parameters(source)
    if len(parameters) != source.count("DC_PARAMETER"):
        form = "`DC_PARAMETER(label, low, high);` on a line of its own"
        yield Problem(("text",), f"a parameter of another form; expected {form}")
    if len(parameters) > PARAMETER_LIMIT:
        yield Problem(("text",), f"{len(parameters)} parameters; expected at most {PARAMETER_LIMIT}")
    for parameter in parameters:
        if not parameter.low <= parameter.high <= PARAMETER_VALUE_LIMIT:
            limits = f"0 to {PARAMETER_VALUE_LIMIT}, the lower limit first"
            yield Problem(
                ("text",), f"parameter {parameter.label}: {parameter.low}, {parameter.high}; expected {limits}"
            )


def snippet_use_problems(function: Function, snippet: Snippet | None) -> Iterator[Problem]:
    """What is wrong with how a function uses a snippet; None when there is none of that name."""
    if snippet is None:
        yield Problem(("snippet",), f"{function.snippet!a} is not allowed; expected a snippet of this provider")
        return
    if len(function.arguments) + len(snippet.fields) > ARGUMENT_LIMIT:
        yield Problem(
            (),
            f"{counted(len(function.arguments), 'argument')} and {counted(len(snippet.fields), 'field')} "
            f"of snippet {snippet.name}; "
            f"expected at most {ARGUMENT_LIMIT} together",
        )
    labels = {argument.label for argument in function.arguments}
    for field in snippet.fields:
        if field.label in labels:
            yield Problem((), f"{field.label} is an argument and a field; expected labels that differ")
    yield from _given_problems(function.snippet_arguments, snippet)


def _given_problems(given: tuple[int, ...], snippet: Snippet) -> Iterator[Problem]:
    parameters = snippet_parameters(snippet.text)
    if len(given) != len(parameters):
        labels = ", ".join(parameter.label for parameter in parameters) or "none"
        yield Problem(
            ("snippet_arguments",),
            f"{len(given)} elements; expected {len(parameters)} for snippet {snippet.name}: {labels}",
        )
    for position, (value, parameter) in enumerate(zip(given, parameters, strict=False)):
        if not parameter.rule.allows(value):
            expected = f"expected {parameter.rule.expected}: {parameter.label} of snippet {snippet.name}"
            yield Problem(("snippet_arguments", position), f"{value} is not allowed; {expected}")
