"""A provider's options: the declaration checked, the site file's values resolved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from datacrumbs.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from datacrumbs.provider import Option, Options, OptionValue

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TYPES: dict[str, tuple[type, str]] = {
    "string": (str, "a string"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
    "list": (str, "a list of strings"),
}
"""Type of an option -> that of its value, or of each of a list, and how messages call it."""


class OptionError(ValueError):
    """A value for an option that its provider does not take; ``key`` says which one."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def option_problems(option: Option) -> Iterator[str]:
    """What makes no sense in a declaration."""
    if not _NAME.fullmatch(option.name):
        yield "not a lower case word"
    elif option.type not in _TYPES:
        yield f"type is {option.type!r}; expected one of {', '.join(_TYPES)}"
    else:
        try:
            _checked(option, option.default)
        except OptionError as error:
            yield f"default is {error}"


def resolve_options(name: str, declared: Iterable[Option], given: Mapping[str, object]) -> Options:
    """A provider's options with its defaults filled in.

    Args:
        name: The provider's.
        declared: What it takes.
        given: Key to plain value (str, int, bool or a sequence of str) from the site file.

    Raises:
        OptionError: For an unknown key or a value of a wrong type.
    """
    known = {option.name: option for option in declared}
    for key in given:
        if key not in known:
            takes = ", ".join(sorted(known)) or "no options"
            raise OptionError(key, f"unknown option of {name}{did_you_mean(key, known)}; expected {takes}")
    return {
        key: _checked(option, given[key]) if key in given else option.default for key, option in sorted(known.items())
    }


def _checked(option: Option, value: object) -> OptionValue:
    kind, expected = _TYPES[option.type]
    is_list = option.type == "list"
    # A single string serves as a list of one, which is what people write.
    items = tuple(value) if is_list and isinstance(value, (list, tuple)) else (value,)
    for item in items:
        # A truth value is a whole number to Python, not here.
        if not isinstance(item, kind) or isinstance(item, bool) != (kind is bool):
            raise OptionError(option.name, f"{value!r} is not {expected}")
        if option.choices and item not in option.choices:
            raise OptionError(option.name, f"{item!r} is not a choice; expected one of {', '.join(option.choices)}")
    return cast("OptionValue", items if is_list else value)
