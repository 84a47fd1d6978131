"""The kinds of rules that a field of a plan can have, each with its words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datacrumbs.model.plan import Attach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

Context = Attach | None
"""The way to attach of the group that a value is in; None for values outside of groups, such as a snippet's fields."""

PATH_LIMIT = 4095
SOURCE_LIMIT = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


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
    if not isinstance(value, str) or not value.startswith("/") or _CONTROL.search(value):
        return False
    parts = value.split("/")[1:]
    return value == "/" or not any(part in {"", ".", ".."} for part in parts)


def is_path(value: object) -> bool:
    """Whether a value is such a path that the kernel takes."""
    return is_absolute_path(value) and len(str(value).encode()) <= PATH_LIMIT


def is_source(value: object) -> bool:
    """Whether a value is C source without control characters."""
    if not isinstance(value, str) or len(value) > SOURCE_LIMIT:
        return False
    plain = value.translate({ord("\n"): None, ord("\t"): None})
    return plain != "" and not _CONTROL.search(plain)
