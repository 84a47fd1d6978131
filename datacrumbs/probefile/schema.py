"""The checks from which a document's schema is built; each names the key at fault.

A check takes a value and the key path where it stands (``groups[2].functions[5].offset``) and
returns the value with its type known, or raises.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.errors import DatacrumbsError, usage_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

Element = TypeVar("Element")
Choice = TypeVar("Choice", bound="StrEnum")

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
SHOWN_LIMIT = 60


def problem(at: str, value: object, expected: str) -> DatacrumbsError:
    """The error for a value that the schema does not allow (exit 2)."""
    # ascii: the value is a stranger's and goes to terminals and logs.
    shown = ascii(value)
    if len(shown) > SHOWN_LIMIT:
        shown = f"{shown[:SHOWN_LIMIT]}..."
    return usage_error(f"plan: {at}: {shown} is not allowed; expected {expected}")


def mapping(value: object, at: str, keys: frozenset[str]) -> dict[str, object]:
    """An object with exactly these keys."""
    if not isinstance(value, dict):
        raise problem(at, value, "an object")
    if value.keys() == keys:
        return value
    for key in sorted(value.keys() - keys):
        raise usage_error(f"plan: {at}: {ascii(key)[:SHOWN_LIMIT]}: unknown key; expected {', '.join(sorted(keys))}")
    for key in sorted(keys - value.keys()):
        raise usage_error(f"plan: {at}: {key}: missing; expected {', '.join(sorted(keys))}")
    raise problem(at, value, "an object with string keys")


def items(
    value: object, at: str, limits: tuple[int, int], element: Callable[[object, str], Element]
) -> tuple[Element, ...]:
    """A list of ``limits[0]`` to ``limits[1]`` elements, each checked by ``element``."""
    low, high = limits
    if not isinstance(value, list):
        raise problem(at, value, "a list")
    if not low <= len(value) <= high:
        raise usage_error(f"plan: {at}: {len(value)} elements; expected {low} to {high}")
    return tuple(element(entry, f"{at}[{index}]") for index, entry in enumerate(value))


def whole(value: object, at: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise problem(at, value, f"a whole number from {low} to {high}")
    return value


def flag(value: object, at: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise problem(at, value, "true or false")
    return value


def choice(value: object, at: str, kind: type[Choice]) -> Choice:
    """A member of an enumeration, by its value."""
    if isinstance(value, str):
        for member in kind:
            if member.value == value:
                return member
    raise problem(at, value, f"one of {', '.join(sorted(kind))}")


def text(value: object, at: str, pattern: re.Pattern[str], limit: int, expected: str) -> str:
    """A string of at most ``limit`` characters that matches ``pattern`` from end to end."""
    if not isinstance(value, str) or len(value) > limit or not pattern.fullmatch(value):
        raise problem(at, value, f"{expected}, at most {limit} characters")
    return value


def absolute_path(value: object, at: str) -> str:
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
