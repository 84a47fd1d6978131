"""Durations and sizes with units, as options, the system configuration and environment files take them."""

from __future__ import annotations

import re

SECOND = 1_000_000_000
MEGABYTE = 1_000_000
DURATIONS = "a number with ns, us, ms, s, m, h or d, such as 90s, 1.5ms or 2h"
SIZES = "a number with K, M, G or T (powers of 1024), or KB, MB, GB or TB (powers of 1000), such as 512M or 2G"
_LONG = 10_000
_NUMBER = re.compile(r"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?) ?([A-Za-zµ]*)")
_TIMES = {
    "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": SECOND, "m": 60 * SECOND, "min": 60 * SECOND,
    "h": 3600 * SECOND, "d": 86400 * SECOND,
}  # fmt: skip
_BYTES = {"B": 1} | {
    unit: base**power
    for power, letter in enumerate("KMGT", 1)
    for unit, base in ((letter, 1024), (f"{letter}iB", 1024), (f"{letter}B", 1000))
}


def read_duration(text: str, bare: int | None = None) -> int:
    """A duration in nanoseconds.

    Args:
        text: A number with a unit, ``90s`` or ``1.5 ms``.
        bare: The unit of a number without one, in nanoseconds; None allows only 0 without a unit.

    Raises:
        ValueError: With words for a message.
    """
    return _quantity(text, _TIMES, bare, f"is not a duration; expected {DURATIONS}")


def read_size(text: str, bare: int | None = None) -> int:
    """A size in bytes.

    Args:
        text: A number with a unit, ``512M`` or ``2 GB``.
        bare: The unit of a number without one, in bytes; None allows only 0 without a unit.

    Raises:
        ValueError: With words for a message.
    """
    units = {unit.lower(): factor for unit, factor in _BYTES.items()}
    return _quantity(text.lower(), units, bare, f"is not a size; expected {SIZES}")


def seconds(text: str) -> float:
    """A positive duration in seconds; a number without a unit is one of seconds.

    Raises:
        ValueError: With words for a message.
    """
    return _positive(text, read_duration(text, SECOND)) / SECOND


def megabytes(text: str) -> float:
    """A positive size in megabytes; a number without a unit is one of megabytes.

    Raises:
        ValueError: With words for a message.
    """
    return _positive(text, read_size(text, MEGABYTE)) / MEGABYTE


def shown_duration(seconds: float) -> str:
    """A duration as users write it, in the largest unit of which it is a whole number: ``1h``, ``90s``, ``1500ms``."""
    return _shown(round(seconds * SECOND), _TIMES) or f"{seconds:g}s"


def shown_size(number: int) -> str:
    """A size in bytes as users write it: ``2G``, ``1GB``; else in megabytes: ``123.5MB``."""
    return _shown(number, _BYTES) or f"{number / MEGABYTE:.1f}MB"


# Empty where only a unit that is much too small divides it.
def _shown(amount: int, units: dict[str, int]) -> str:
    for name, factor in sorted(units.items(), key=lambda item: -item[1]):
        if amount % factor == 0 and 0 < amount // factor < _LONG:
            return f"{amount // factor}{name}"
    return ""


def _positive(text: str, number: int) -> int:
    if not number:
        raise ValueError(f"{text!r} is too small; expected more than 0")
    return number


def _quantity(text: str, units: dict[str, int], bare: int | None, problem: str) -> int:
    match = _NUMBER.fullmatch(text.strip())
    factor = units.get(match[2], bare if match[2] == "" else None) if match else None
    if match and factor is None and not match[2] and float(match[1]) == 0:
        return 0
    if match is None or factor is None or (amount := float(match[1]) * factor) == float("inf"):
        raise ValueError(f"{text!r} {problem}")
    return round(amount)
