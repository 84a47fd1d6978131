"""The checks from which a document's schema is built; each names the key at fault.

A check takes a value and its place, and returns the value with its type known, or
raises. A place is a key, or a pair of the place around it and a key or index: ``(("groups", 2), "attach")``
is shown as ``groups[2].attach``. Only an error spells it out: a plan has a hundred thousand places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.output import counted

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from datacrumbs.model.rule_kinds import Member, Rule

Place = str | tuple[Any, str | int]

Element = TypeVar("Element")

SHOWN_LIMIT = 60


def shown_place(at: Place) -> str:
    """A place as messages show it; the whole document is an empty key."""
    if isinstance(at, str):
        return at or "(top)"
    around, key = at
    if around == "":
        return str(key)
    return f"{shown_place(around)}[{key}]" if isinstance(key, int) else f"{shown_place(around)}.{key}"


def problem(at: Place, value: object, expected: str) -> DatacrumbsError:
    """The error for a value that the schema does not allow (exit 2)."""
    # ascii: the value is a stranger's and goes to terminals and logs.
    shown = ascii(value)
    if len(shown) > SHOWN_LIMIT:
        shown = f"{shown[:SHOWN_LIMIT]}..."
    return usage_error(f"{shown_place(at)}: {shown} is not allowed; expected {expected}")


def mapping(value: object, at: Place, keys: frozenset[str]) -> dict[str, object]:
    """An object with exactly these keys."""
    if not isinstance(value, dict):
        raise problem(at, value, "an object")
    if value.keys() == keys:
        return value
    for key in sorted(value.keys() - keys):
        raise usage_error(
            f"{shown_place(at)}: {ascii(key)[:SHOWN_LIMIT]}: unknown key; expected {', '.join(sorted(keys))}"
        )
    for key in sorted(keys - value.keys()):
        raise usage_error(f"{shown_place(at)}: {key}: missing; expected {', '.join(sorted(keys))}")
    raise problem(at, value, "an object with string keys")


def items(
    value: object, at: Place, limits: tuple[int, int], element: Callable[[object, Place], Element]
) -> tuple[Element, ...]:
    """A list of ``limits[0]`` to ``limits[1]`` elements, each checked by ``element``."""
    low, high = limits
    if not isinstance(value, list):
        raise problem(at, value, "a list")
    if not low <= len(value) <= high:
        raise usage_error(f"{shown_place(at)}: {counted(len(value), 'element')}; expected {low} to {high}")
    return tuple([element(entry, (at, index)) for index, entry in enumerate(value)])


def flag(value: object, at: Place) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise problem(at, value, "true or false")
    return value


def checked(value: Any, at: Place, rule: Rule) -> Any:
    """A value that a rule allows."""
    if not rule.allows(value):
        raise problem(at, value, rule.expected)
    return value


def whole(value: object, at: Place, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise problem(at, value, f"a whole number from {low} to {high}")
    return value


def choice(value: object, at: Place, rule: Member) -> Any:
    """A member of an enumeration, by its value."""
    member = rule.kind._value2member_map_.get(value) if isinstance(value, str) else None
    if not rule.allows(member):
        raise problem(at, value, rule.expected)
    return member


def text(value: object, at: Place, pattern: re.Pattern[str], limit: int, expected: str) -> str:
    """A string of at most ``limit`` characters that matches ``pattern`` from end to end."""
    if not isinstance(value, str) or len(value) > limit or not pattern.fullmatch(value):
        raise problem(at, value, f"{expected}, at most {limit} characters")
    return value
