"""The layout of what capture hands to the trace: fixed-size call records and strings.

`engine/bpf/layout.h` declares the same layouts in C; a test compares them. Nothing here knows
where a record comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALUE_SLOTS = 6

CALL = np.dtype(
    [
        ("start", "<u8"),  # CLOCK_MONOTONIC, ns
        ("duration", "<u8"),  # ns; 0 for a point event
        ("process", "<u4"),  # thread-group id, as the initial pid namespace numbers it
        ("thread", "<u4"),
        ("function", "<u4"),  # position in Plan.functions, or a RecordKind
        ("flags", "<u2"),  # CallFlag
        ("errno", "<u2"),  # 0 when unknown or none
        ("result", "<i8"),
        ("file", "<u8"),  # identity of a Name, or 0
        ("values", "<u8", (VALUE_SLOTS,)),  # raw registers, in the order of Function.arguments
    ]
)
"""A call, 96 bytes. Snippet fields fill the last slots of ``values``."""


class CallFlag(IntFlag):
    """Bits of a call's ``flags``."""

    RETURNED = 1  # result and duration are known
    FAILED = 2  # the result means failure, by Function.result
    POINT = 4  # an instant, not an interval


class RecordKind(IntEnum):
    """Values of ``function`` that are no function."""

    FORK = 0xFFFFFF01  # process = parent, values[0] = child, start = time
    EXEC = 0xFFFFFF02  # file = Name of the executable
    EXIT = 0xFFFFFF03  # result = exit status as wait(2) has it
    START = 0xFFFFFF04  # tracing of this process began (datacrumbs_start)
    STOP = 0xFFFFFF05  # tracing of this process ended (datacrumbs_stop)


FIRST_KIND = 0xFFFFFF00

BUCKETS = 64

PROFILE = np.dtype(
    [
        ("file", "<u8"),  # identity of a Name, or 0
        ("process", "<u4"),
        ("function", "<u4"),
        ("cause", "<u4"),  # ProfileCause
        ("count", "<u8"),
        ("errors", "<u8"),
        ("bytes", "<u8"),
        ("time", "<u8"),  # ns in the calls
        ("longest", "<u8"),
        ("shortest", "<u8"),
        ("first", "<u8"),  # beginning of the first call, CLOCK_MONOTONIC, ns
        ("last", "<u8"),  # end of the last one
        ("times", "<u4", (BUCKETS,)),  # calls that returned, by the number of bits of their ns
        ("sizes", "<u4", (BUCKETS,)),  # calls that moved bytes, by the number of bits of their bytes
    ]
)
"""Calls of one process, function and file in one interval, added up."""


class ProfileCause(IntEnum):
    """Why calls were added up and not recorded one by one."""

    PROFILE = 0  # the function's mode
    GUARD = 1  # it was called too often


CUT = ".../"
"""How a path begins whose upper directories are not known: it was too deep, or too long."""


DELETED = " (deleted)"
"""How the name of a file ends that no directory has, as the kernel writes it."""


class NameKind(IntEnum):
    """What the bytes of a Name are."""

    PATH = 1  # as the program passed it; relative ones start from ``base``
    LOCATION = 2  # an open file or directory, absolute or CUT, found through the kernel
    STRING = 3  # anything else
    COMMAND = 4  # a process's comm
    PLACE = 5  # where a file was, as LOCATION, that was opened by the PATH ``base``, where that is another name


@dataclass(frozen=True, slots=True)
class Name:
    """A string that calls refer to by its identity; sent once, before the first call that needs it.

    ``text`` is decoded with surrogateescape. ``base`` is the identity of the directory that a
    relative PATH starts from, or 0. One that begins at another root than the host's is relative to that.
    """

    identity: int
    kind: NameKind
    base: int
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read of the rings gave: calls in the order in which they ended, names first."""

    calls: NDArray[np.void]
    names: tuple[Name, ...] = ()


@dataclass(slots=True)
class FunctionCounts:
    """Conservation of one function's calls: ``entered`` is the sum of all the others.

    recorded: written to the trace. filtered: left out by a filter or by sampling, on purpose.
    counted: added up in profiles, not written one by one.
    lost: cause -> calls that should be in the trace and are not (``ring_full`` ...).
    unmatched: entered but never seen to return (killed in the call, longjmp, execve, exit; or not probed at the return
        because another call waits on another stack).
    in_flight: entered and still inside when the run stopped.
    causes: what ``filtered`` and ``counted`` are made of, as far as the kernel side did it.
    """

    entered: int = 0
    recorded: int = 0
    filtered: int = 0
    counted: int = 0
    unmatched: int = 0
    in_flight: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """True when every call is accounted for."""
        return self.entered == (
            self.recorded + self.filtered + self.counted + self.unmatched + self.in_flight + sum(self.lost.values())
        )
