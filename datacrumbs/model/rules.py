"""The rules of a plan: what each field of its dataclasses may hold, by the way to attach where that matters.

Everything that checks or describes a plan reads this one table: the codec, what comes from providers, the
composition, the table of functions of the kernel side, and the reference pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

from datacrumbs.model.contract import COMPAT_CALLS, REQUESTS, SNIPPET_FIELDS, TRACEPOINT_BYTES
from datacrumbs.model.plan import (
    ARGUMENT_LIMIT,
    FORMAT,
    FUNCTION_LIMIT,
    SAMPLE_LIMIT,
    SKIP_LIMIT,
    Argument,
    Attach,
    Filters,
    Function,
    Group,
    Mode,
    Plan,
    Provenance,
    Result,
    Returns,
    Role,
    Snippet,
    Sought,
    Target,
    UsdtPlace,
)
from datacrumbs.output import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from enum import StrEnum

Context = Attach | None
"""The way to attach of the group that a value is in; None for values outside of groups, such as a snippet's fields."""

NAMED_LIMIT = REQUESTS
"""Files and names that the kernel side finds for one call."""
FIELD_LIMIT = SNIPPET_FIELDS
"""Values that a snippet fills."""
SYSTEM_CALL_LIMIT = COMPAT_CALLS - 1
RECORD_LIMIT = TRACEPOINT_BYTES
"""Bytes of a tracepoint's record that the kernel side reads."""
ALIAS_LIMIT = 256
OFFSET_LIMIT = 1 << 47
PATH_LIMIT = 4095
USER_ATTACH = frozenset({Attach.UPROBE, Attach.USDT})
SIZES = (1, 2, 4, 8)
NAMED_ROLES = frozenset({Role.FD, Role.TARGET_FD, Role.PATH, Role.STRING})
HANDLE_ROLES = frozenset({Role.HANDLE, Role.CLOSED, Role.RELEASED})
FIELD_ROLES = frozenset({Role.BYTES, Role.COUNT, Role.VALUE, Role.FD, Role.STRING})
BUILD_ID = r"([0-9a-f]{2}){4,64}|sha256:[0-9a-f]{64}"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Rule:
    """What one field may hold.

    Args:
        expected: It in words, behind "expected".
        allows: Whether a value is that.
    """

    expected: str
    allows: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Member(Rule):
    """A rule for members of an enumeration, which are written by their values."""

    kind: type[StrEnum]


@dataclass(frozen=True, slots=True)
class Many:
    """A rule for tuples: of how many elements, and what each is: a value under a rule or a dataclass of the plan."""

    low: int
    high: int
    of: Rule | type

    @property
    def expected(self) -> str:
        """It in words."""
        return f"{self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Part:
    """A rule for a field that holds one of the plan's dataclasses."""

    of: type


AnyRule = Rule | Many | Part


def text(meaning: str, pattern: str, limit: int) -> Rule:
    """A string of at most ``limit`` characters that matches ``pattern`` from end to end."""
    matches = re.compile(pattern).fullmatch
    return Rule(
        f"{meaning}, at most {limit} characters",
        lambda value: isinstance(value, str) and len(value) <= limit and matches(value) is not None,
    )


def whole(low: int, high: int) -> Rule:
    """A whole number from ``low`` to ``high``."""
    expected = f"a whole number from {low} to {high}" if low < high else str(low)
    return Rule(expected, lambda value: type(value) is int and low <= value <= high)


def member(kind: type[StrEnum], among: frozenset[Any] | None = None) -> Member:
    """A member of an enumeration, or of a part of it."""
    members = frozenset(kind) if among is None else among
    shown = f"one of {', '.join(sorted(entry.value for entry in members))}"
    return Member(shown, lambda value: isinstance(value, kind) and value in members, kind)


def or_empty(rule: Rule) -> Rule:
    """The same, or an empty string."""
    return Rule(f"{rule.expected}, or ''", lambda value: value == "" or rule.allows(value))


def by_attach(rules: Mapping[Attach, AnyRule], otherwise: Callable[[Attach], AnyRule]) -> dict[Context, AnyRule]:
    """A rule for each way to attach."""
    return {attach: rules.get(attach) or otherwise(attach) for attach in Attach}


def nothing(meaning: str = "") -> Rule:
    """An empty string, where another way to attach needs a text."""
    return Rule(f"''{meaning} for this way to attach", lambda value: value == "")


def is_absolute_path(value: object) -> bool:
    """Whether a value is an absolute path without ``.``, ``..``, doubled slashes or control characters."""
    if not isinstance(value, str) or not value.startswith("/") or CONTROL.search(value):
        return False
    parts = value.split("/")[1:]
    return value == "/" or not any(part in {"", ".", ".."} for part in parts)


def _is_path(value: object) -> bool:
    return is_absolute_path(value) and len(str(value).encode()) <= PATH_LIMIT


def _is_source(value: object) -> bool:
    if not isinstance(value, str) or len(value) > _SOURCE_LIMIT:
        return False
    plain = value.translate({ord("\n"): None, ord("\t"): None})
    return plain != "" and not CONTROL.search(plain)


_SOURCE_LIMIT = 64 * 1024
_SOURCE = Rule(f"C source without control characters, at most {_SOURCE_LIMIT} characters", _is_source)
_PATH = Rule(
    f"an absolute path without '.', '..', '//' and control characters, of at most {PATH_LIMIT} bytes", _is_path
)
ATTACH = member(Attach)
_FLAG = Rule("true or false", lambda value: isinstance(value, bool))
WORD = text("lower case letters, digits and underscores", r"[a-z][a-z0-9_]*", 64)
LIBRARY_NAME = text("a pattern of file names such as 'libz.so.*'", r"[A-Za-z0-9_.+*?\[\]!-]+", 128)
_LAYER = text("letters, digits, spaces and . _ + - ( )", r"[A-Za-z0-9][A-Za-z0-9 ._+()-]*", 64)
# Nothing that ends a C comment or string: these may be shown in the generated program.
_SYMBOL = text("an ELF symbol", r"(?!.*(\*/|/\*|//))[A-Za-z0-9_.$@:~()*,\[\]/-]+", 1024)
_PLACE_ARGUMENTS = text("a USDT argument format", r"[A-Za-z0-9@%$()+*,._:\[\] #!-]*", 512)
_RELEASE = text("a kernel release", r"[A-Za-z0-9][A-Za-z0-9._+~-]*", 128)
_BUILD_ID = text("a build-id in hex or sha256:<64 hex>", BUILD_ID, 136)
_FILE_OFFSET = whole(1, OFFSET_LIMIT)
_PLACES = by_attach({Attach.USDT: Many(0, 256, UsdtPlace)}, lambda _: Many(0, 0, UsdtPlace))

RULES: dict[type, dict[str, AnyRule | dict[Context, AnyRule]]] = {
    Plan: {
        "providers": Many(1, 64, Provenance),
        "groups": Many(1, FUNCTION_LIMIT, Group),
        "snippets": Many(0, 256, Snippet),
        "filters": Part(Filters),
        "sought": Many(0, 64, Sought),
        "format": text(f"'{FORMAT}'", re.escape(FORMAT), 64),
    },
    Provenance: {
        "name": WORD,
        "distribution": text("a distribution's name", r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", 128),
        "version": text("a version", r"[A-Za-z0-9][A-Za-z0-9.+!_-]*", 64),
        "layer": _LAYER,
        "position": whole(0, 1000),
    },
    Sought: {
        "provider": WORD,
        "names": Many(1, 64, LIBRARY_NAME),
    },
    Filters: {"minimum_duration_ns": whole(0, 3600 * 10**9), "inclusion_path": or_empty(_PATH)},
    Group: {
        "provider": WORD,
        "layer": _LAYER,
        "attach": ATTACH,
        "target": Part(Target),
        "functions": Many(1, FUNCTION_LIMIT, Function),
        "mode": member(Mode),
        "sample": whole(1, SAMPLE_LIMIT),
        "helper": _FLAG,
    },
    Target: {
        "path": by_attach(
            dict.fromkeys(USER_ATTACH, _PATH),
            lambda _: nothing(" (the kernel)"),
        ),
        "build_id": by_attach(dict.fromkeys(USER_ATTACH, _BUILD_ID), lambda _: _RELEASE),
    },
    Function: {
        "name": _SYMBOL,
        # The kernel finds these by name (a tracepoint as a file name), so no more than a name is let in.
        "symbol": {
            Attach.UPROBE: _SYMBOL,
            Attach.USDT: text("provider:probe", r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+", 1024),
            Attach.SYSCALL: text("the kernel's name of a system call", r"[a-z_][a-z0-9_]*", 1024),
            Attach.TRACEPOINT: text("category:event", r"[A-Za-z0-9_]+:[A-Za-z0-9_]+", 1024),
            Attach.KPROBE: text("a kernel symbol", r"[A-Za-z_.$][A-Za-z0-9_.$]*", 1024),
        },
        "category": text("letters, digits and _ . -", r"[A-Za-z][A-Za-z0-9_.-]*", 64),
        "offset": by_attach(
            {**dict.fromkeys(USER_ATTACH, _FILE_OFFSET), Attach.SYSCALL: whole(0, SYSTEM_CALL_LIMIT)},
            lambda _: whole(0, 0),
        ),
        "aliases": Many(0, ALIAS_LIMIT, _SYMBOL),
        "more_places": _PLACES,
        "return_places": _PLACES,
        "arguments": Many(0, ARGUMENT_LIMIT, Argument),
        "result": member(Result),
        "returns": member(Returns),
        "snippet": or_empty(WORD),
        "usdt_arguments": by_attach({Attach.USDT: _PLACE_ARGUMENTS}, lambda _: nothing()),
        "semaphore": by_attach({Attach.USDT: whole(0, OFFSET_LIMIT)}, lambda _: whole(0, 0)),
        "skip": by_attach({Attach.UPROBE: whole(0, SKIP_LIMIT)}, lambda _: whole(0, 0)),
    },
    UsdtPlace: {"offset": _FILE_OFFSET, "semaphore": whole(0, OFFSET_LIMIT), "arguments": _PLACE_ARGUMENTS},
    Argument: {
        # Registers; the operands of a USDT note; the byte offset in a tracepoint's record; a snippet's field.
        "index": {
            Attach.UPROBE: whole(0, ARGUMENT_LIMIT - 1),
            Attach.USDT: whole(0, 11),
            Attach.SYSCALL: whole(0, ARGUMENT_LIMIT - 1),
            Attach.TRACEPOINT: whole(0, RECORD_LIMIT - 1),
            Attach.KPROBE: whole(0, ARGUMENT_LIMIT - 1),
            None: whole(0, FIELD_LIMIT - 1),
        },
        "label": WORD,
        "ctype": text("a C type", r"[A-Za-z_][A-Za-z0-9_ *\[\]()&,:<>.]*", 256),
        "role": {**dict.fromkeys(Attach, member(Role)), None: member(Role, FIELD_ROLES)},
        "size": Rule("1, 2, 4 or 8", lambda value: type(value) is int and value in SIZES),
        "signed": _FLAG,
    },
    Snippet: {
        "name": WORD,
        "provider": WORD,
        "text": _SOURCE,
        "fields": Many(0, FIELD_LIMIT, Argument),
        "licence": text("an SPDX licence expression", r"[A-Za-z0-9][A-Za-z0-9.+ ()-]*", 128),
    },
}
"""Dataclass -> field -> its rule, or one for each way to attach."""

# Names and types in files are whatever compilers and languages make; composing passes over what a plan cannot carry.
_IN_FILES: dict[tuple[type, str], AnyRule] = {
    (Function, "name"): text("a printable symbol", r"[!-~]+", 1024),
    (Function, "symbol"): text("a printable symbol", r"[!-~]+", 1024),
    (Function, "aliases"): Many(0, FUNCTION_LIMIT, Rule("a symbol", lambda value: isinstance(value, str))),
    (Argument, "ctype"): Rule("a C type", lambda value: isinstance(value, str)),
}


def rule(kind: type, field: str, attach: Context = None) -> Rule:
    """The rule of a field that holds one value."""
    return cast("Rule", _any_rule(kind, field, attach))


def _any_rule(kind: type, field: str, attach: Context) -> AnyRule:
    found = RULES[kind][field]
    return found[attach] if isinstance(found, dict) else found


TABLE: dict[tuple[type, Context], tuple[tuple[str, AnyRule], ...]] = {
    (kind, attach): tuple(
        (field.name, _any_rule(kind, field.name, attach))
        for field in fields(kind)
        if not isinstance(RULES[kind][field.name], dict) or attach in RULES[kind][field.name]  # type: ignore[operator]
    )
    for kind in RULES
    for attach in (*Attach, None)
}
"""What `RULES` says of all fields of a dataclass in one context."""


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
    for field, of_plan in TABLE[type(value), attach]:
        found = _IN_FILES.get((type(value), field), of_plan)
        yield from value_problems(getattr(value, field), found, attach, (field,))


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
        yield Problem(path, f"{len(value)} elements; expected {found.expected}")
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
