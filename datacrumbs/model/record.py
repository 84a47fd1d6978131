"""What capture hands to the trace: call records, profiles and strings.

The layouts that the kernel side knows, too, are those of the contract (``contract.h``). Nothing here knows where a
record comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.contract import BUCKETS, FIRST_KIND, SLOTS, CallFlag, NameKind, ProfileCause, RecordKind
from datacrumbs.model.layouts import RECORD

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BUCKETS",
    "CUT",
    "DELETED",
    "FIRST_KIND",
    "PROFILE",
    "RECORD",
    "SLOTS",
    "Batch",
    "CallFlag",
    "FunctionCounts",
    "Name",
    "NameKind",
    "ProfileCause",
    "RecordKind",
]

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


CUT = ".../"
"""How a path begins whose upper directories are not known: it was too deep, or too long."""


DELETED = " (deleted)"
"""How the name of a file ends that no directory has, as the kernel writes it."""


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
