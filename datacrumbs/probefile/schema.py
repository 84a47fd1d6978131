"""The checks from which a document's schema is built; each names the key at fault.

A check takes a value and the place where it stands, and returns the value with its type known, or
raises. A place is a key, or a pair of the place around it and a key or index: ``(("groups", 2), "attach")``
is shown as ``groups[2].attach``. Only an error spells it out: a plan has a hundred thousand places.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from datacrumbs.errors import DatacrumbsError, usage_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

Place = str | tuple[Any, str | int]

Element = TypeVar("Element")
Choice = TypeVar("Choice", bound="StrEnum")

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
SHOWN_LIMIT = 60


def shown_place(at: Place) -> str:
    """A place as messages show it."""
    if isinstance(at, str):
        return at
    around, key = at
    return f"{shown_place(around)}[{key}]" if isinstance(key, int) else f"{shown_place(around)}.{key}"


def problem(at: Place, value: object, expected: str) -> DatacrumbsError:
    """The error for a value that the schema does not allow (exit 2)."""
    # ascii: the value is a stranger's and goes to terminals and logs.
    shown = ascii(value)
    if len(shown) > SHOWN_LIMIT:
        shown = f"{shown[:SHOWN_LIMIT]}..."
    return usage_error(f"plan: {shown_place(at)}: {shown} is not allowed; expected {expected}")


def mapping(value: object, at: Place, keys: frozenset[str]) -> dict[str, object]:
    """An object with exactly these keys."""
    if not isinstance(value, dict):
        raise problem(at, value, "an object")
    if value.keys() == keys:
        return value
    for key in sorted(value.keys() - keys):
        raise usage_error(
            f"plan: {shown_place(at)}: {ascii(key)[:SHOWN_LIMIT]}: unknown key; expected {', '.join(sorted(keys))}"
        )
    for key in sorted(keys - value.keys()):
        raise usage_error(f"plan: {shown_place(at)}: {key}: missing; expected {', '.join(sorted(keys))}")
    raise problem(at, value, "an object with string keys")


def items(
    value: object, at: Place, limits: tuple[int, int], element: Callable[[object, Place], Element]
) -> tuple[Element, ...]:
    """A list of ``limits[0]`` to ``limits[1]`` elements, each checked by ``element``."""
    low, high = limits
    if not isinstance(value, list):
        raise problem(at, value, "a list")
    if not low <= len(value) <= high:
        raise usage_error(f"plan: {shown_place(at)}: {len(value)} elements; expected {low} to {high}")
    return tuple([element(entry, (at, index)) for index, entry in enumerate(value)])


def whole(value: object, at: Place, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise problem(at, value, f"a whole number from {low} to {high}")
    return value


def flag(value: object, at: Place) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise problem(at, value, "true or false")
    return value


def choice(value: object, at: Place, kind: type[Choice]) -> Choice:
    """A member of an enumeration, by its value."""
    member = kind._value2member_map_.get(value) if isinstance(value, str) else None
    if member is None:
        raise problem(at, value, f"one of {', '.join(sorted(kind))}")
    return member  # type: ignore[return-value]


def text(value: object, at: Place, pattern: re.Pattern[str], limit: int, expected: str) -> str:
    """A string of at most ``limit`` characters that matches ``pattern`` from end to end."""
    if not isinstance(value, str) or len(value) > limit or not pattern.fullmatch(value):
        raise problem(at, value, f"{expected}, at most {limit} characters")
    return value


def absolute_path(value: object, at: Place) -> str:
    """An absolute path without ``.``, ``..``, doubled slashes or control characters."""
    expected = "an absolute path without '.', '..', '//' and control characters"
    if not isinstance(value, str) or not value.startswith("/") or CONTROL.search(value):
        raise problem(at, value, expected)
    parts = value.split("/")[1:]
    if value != "/" and any(part in {"", ".", ".."} for part in parts):
        raise problem(at, value, expected)
    if len(value.encode()) > 4095:
        raise problem(at, value, "a path of at most 4095 bytes")
    return value
