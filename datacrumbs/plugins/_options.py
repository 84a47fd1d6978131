"""A provider's options: the declaration checked, the site file's values resolved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datacrumbs.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from datacrumbs.provider import Option, Options, OptionValue

TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "list": tuple}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EXPECTED = {
    "string": "a string",
    "integer": "a whole number",
    "boolean": "true or false",
    "list": "a list of strings",
}


class OptionError(ValueError):
    """A value for an option that its provider does not take; ``key`` says which one."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def check_option(option: Option) -> None:
    """Check a declaration.

    Raises:
        ValueError: For a name, a type or a default that makes no sense.
    """
    if not _NAME.fullmatch(option.name):
        raise ValueError(f"option {option.name!r}: not a lower case word")
    if option.type not in TYPES:
        raise ValueError(f"option {option.name!r}: type is {option.type!r}; expected one of {', '.join(TYPES)}")
    try:
        _checked(option, option.default)
    except OptionError as error:
        raise ValueError(f"option {option.name!r}: default is {error}") from None


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
    convert = _CONVERT[option.type]
    converted = convert(value)
    if converted is None:
        raise OptionError(option.name, f"{value!r} is not {_EXPECTED[option.type]}")
    for item in converted if isinstance(converted, tuple) else (converted,):
        if option.choices and item not in option.choices:
            raise OptionError(option.name, f"{item!r} is not a choice; expected one of {', '.join(option.choices)}")
    return converted


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


# A single string serves as a list of one, which is what people write.
def _strings(value: object) -> tuple[str, ...] | None:
    items: Sequence[object] = (
        (value,) if isinstance(value, str) else value if isinstance(value, (list, tuple)) else (0,)
    )
    return tuple(map(str, items)) if all(isinstance(item, str) for item in items) else None


_CONVERT: dict[str, Callable[[object], OptionValue | None]] = {
    "string": _text,
    "integer": _integer,
    "boolean": _boolean,
    "list": _strings,
}
