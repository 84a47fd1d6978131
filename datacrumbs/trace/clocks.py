"""What aligns the traces of several nodes: readings of a node's clocks, and what the kernel says of their error."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.trace.names import metadata_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLOCK = "datacrumbs_clock"
SYNCHRONISED, UNSYNCHRONISED, UNKNOWN = "synchronised", "unsynchronised", "unknown"
STEP_NS = 10_000
"""A change of the offset between the clocks that is no error of reading them. It changes when the wall clock is set or
a leap second passes; its rate is that of the monotonic clock."""
_READINGS = 16
_TIME_ERROR = 5
_LONGEST_SOURCE = 64
_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_LIBC = ctypes.CDLL(None, use_errno=True)
_NUMBERS = ("epoch_offset_ns", "realtime_ns", "monotonic_ns", "boottime_ns", "within_ns")
_ERRORS = ("max_error_us", "estimated_error_us", "frequency_ppb")
_SETTER = {"service": "set_by", "reference": "reference", "stratum": "stratum", "error_us": "reference_error_us"}
"""Fields of `ClockSetter` -> keys of a line."""
_LIMIT = 1 << 63


# The first members of struct timex (linux/timex.h); the kernel fills all of its 208 bytes.
class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


@dataclass(frozen=True, slots=True)
class ClockSetter:
    """What sets a node's wall clock, by its own words.

    Args:
        service: Such as ``chrony``.
        reference: Where it has the time from: an address, or the name of a reference clock; empty where not known.
        stratum: How many steps that is from a reference clock; None unless it is synchronised.
        error_us: The most that the wall clock is wrong; None unless it is synchronised.
    """

    service: str
    reference: str = ""
    stratum: int | None = None
    error_us: int | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """A node's clocks at one moment.

    Args:
        realtime_ns: CLOCK_REALTIME.
        monotonic_ns: CLOCK_MONOTONIC at the same moment.
        boottime_ns: CLOCK_BOOTTIME.
        within_ns: How far from each other the first two may have been read.
        state: SYNCHRONISED, UNSYNCHRONISED, or UNKNOWN where the kernel was not to be asked.
        max_error_us: What the kernel gives as the most that the wall clock is wrong; None where it is not known.
        estimated_error_us: What it gives as an estimate of that.
        frequency_ppb: By how much it corrects the rate of the clocks, in parts of a thousand million.
        source: The hardware that is read, such as ``tsc``.
        at: ``begin`` or ``end`` of a file, ``before`` or ``after`` the wall clock was set.
        setter: What sets the wall clock, where that was asked.
    """

    realtime_ns: int
    monotonic_ns: int
    boottime_ns: int
    within_ns: int
    state: str = UNKNOWN
    max_error_us: int | None = None
    estimated_error_us: int | None = None
    frequency_ppb: int | None = None
    source: str = ""
    at: str = ""
    setter: ClockSetter | None = None

    @property
    def offset_ns(self) -> int:
        """What to add to CLOCK_MONOTONIC to get the wall clock's time."""
        return self.realtime_ns - self.monotonic_ns

    def is_set_since(self, earlier: Clock) -> bool:
        """Whether the wall clock was set, as far as readings tell."""
        return abs(self.offset_ns - earlier.offset_ns) > STEP_NS + self.within_ns + earlier.within_ns


def read_clock() -> Clock:
    """Read the clocks of this node; asks for no right."""
    return replace(_best_reading(), **_synchronisation(), source=_source())


def clock_readings(setter: ClockSetter | None = None) -> Iterator[Clock]:
    """A reading each time that one is asked for.

    Args:
        setter: What sets the clock, which is in the first reading: later it may have changed.
    """
    yield replace(read_clock(), setter=setter)
    while True:
        yield read_clock()


def epoch_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC."""
    return _best_reading().offset_ns


def clock_line(clock: Clock, at: str, epoch_offset_ns: int) -> str:
    """The line of a reading.

    Args:
        clock: The reading.
        at: As in `Clock`.
        epoch_offset_ns: What was added to CLOCK_MONOTONIC in this file's times.
    """
    values: dict[str, Any] = {"at": at, "epoch_offset_ns": epoch_offset_ns}
    values |= {name: getattr(clock, name) for name in (*_NUMBERS[1:], "state", *_ERRORS, "source")}
    if clock.setter:
        values |= {key: getattr(clock.setter, name) for name, key in _SETTER.items()}
    return metadata_line(CLOCK, 0, 0, [(name, value) for name, value in values.items() if value not in {None, ""}])


def read_clock_line(arguments: Mapping[str, Any]) -> tuple[int, Clock] | None:
    """The offset of a file's times and a reading, from the ``args`` of a line of `clock_line`, else None."""
    numbers = {name: arguments.get(name) for name in _NUMBERS}
    errors = {name: arguments[name] for name in _ERRORS if arguments.get(name) is not None}
    texts = {name: arguments.get(name, "") for name in ("state", "source", "at")}
    setter = {name: arguments[key] for name, key in _SETTER.items() if arguments.get(key) is not None}
    said = {name: setter.pop(name) for name in ("service", "reference") if name in setter}
    whole = [*numbers.values(), *errors.values(), *setter.values()]
    if not all(type(number) is int and abs(number) < _LIMIT for number in whole):
        return None
    if not all(isinstance(text, str) for text in (*texts.values(), *said.values())):
        return None
    values: dict[str, Any] = {**numbers, **errors, **texts}
    if "service" in said:
        values["setter"] = ClockSetter(**said, **setter)
    return values.pop("epoch_offset_ns"), Clock(**values)


def _best_reading() -> Clock:
    return min((_reading() for _ in range(_READINGS)), key=lambda reading: reading.within_ns)


# The wall clock between two readings of the other: they cannot be further apart than those.
def _reading() -> Clock:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return Clock(wall, (before + after) // 2, boot, (after - before + 1) // 2)


def _synchronisation() -> dict[str, Any]:
    timex = _Timex()
    try:
        state = _LIBC.adjtimex(ctypes.byref(timex))
    except AttributeError:
        return {}
    if state < 0:
        return {}
    return {
        "state": UNSYNCHRONISED if state == _TIME_ERROR else SYNCHRONISED,
        "max_error_us": timex.maxerror,
        "estimated_error_us": timex.esterror,
        "frequency_ppb": timex.freq * 1000 >> 16,  # parts of a million, with 16 bits behind the point
    }


def _source() -> str:
    try:
        text = _SOURCE.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return text if text.isprintable() and len(text) <= _LONGEST_SOURCE else ""
