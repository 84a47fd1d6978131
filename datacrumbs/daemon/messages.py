"""What the processes of a daemon say to each other: one class for each message.

Of what comes from a process without privileges, the fields and their plain types are checked when it is received
(`datacrumbs.daemon.channel`); what the values mean is checked where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacrumbs.model.plan import Plan
    from datacrumbs.system import SystemConfiguration
    from datacrumbs.trace.clocks import ClockSetter


ARGUMENTS_LIMIT = 4095
"""Bytes of a process's arguments that are kept, as the kernel side keeps them of a program that begins."""


@dataclass(frozen=True, slots=True)
class WritingRequest:
    """To the process that writes, with which it is begun: what is known of a run before anything is attached."""

    plan: Plan
    host: str
    user: str
    run_id: str
    configuration: SystemConfiguration
    clock_setter: ClockSetter | None


@dataclass(frozen=True, slots=True)
class Begin:
    """To the process that writes, with descriptors: the ring of calls, the ring of names, the trace.

    Args:
        calls_size: Bytes of the ring of calls.
        names_size: Bytes of the ring of names.
        epoch_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC.
    """

    calls_size: int
    names_size: int
    epoch_offset_ns: int


@dataclass(frozen=True, slots=True)
class AddNotes:
    """To the process that writes: fields of `trace.notes.Note`, in their order, for each note."""

    notes: Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Arguments:
    """From the process that looks, and then to the process that writes: those of a process that was taken as it ran.

    Args:
        process: Whose.
        beginning: Each with a zero behind it, as far as they fit, in hexadecimal.
        whole: Bytes of all of them.
    """

    process: int
    beginning: str
    whole: int


@dataclass(frozen=True, slots=True)
class AddProfiles:
    """To the process that writes, with a descriptor: calls that were added up (`daemon.profile_transfer`)."""


@dataclass(frozen=True, slots=True)
class Continue:
    """To the process that writes, with a descriptor: the file in which the trace goes on."""

    provenance: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Show:
    """To the process that writes, with a descriptor: the socket on which others ask for what it has recorded so far.

    Args:
        uid: The run's user, who may ask beside root.
    """

    uid: int


@dataclass(frozen=True, slots=True)
class Finish:
    """To the process that writes: the trace ends.

    Args:
        functions: How many the plan has.
        counts: Of functions that were called: their position and the fields of `model.record.FunctionCounts`.
        totals: Counts of the run as a whole.
        provenance: For the footer.
        seconds: How long calls may still be written.
    """

    functions: int
    counts: Sequence[tuple[int, Mapping[str, object]]]
    totals: Mapping[str, int]
    provenance: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Begun:
    """From the process that writes or seals: it is ready for the run."""


@dataclass(frozen=True, slots=True)
class Full:
    """From the process that writes: the files are as big as they may be."""


@dataclass(frozen=True, slots=True)
class Profiled:
    """From the process that writes: the last profiles are written."""


@dataclass(frozen=True, slots=True)
class Failed:
    """From the process that writes, seals or makes files: it cannot, and why."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Written:
    """From the process that writes: the trace is complete, and what became of the calls."""

    entered: int
    recorded: int
    lost: int
    balanced: bool


@dataclass(frozen=True, slots=True)
class Look:
    """To the process that looks at mapped files, with a descriptor: the ring of mappings.

    Args:
        known: Device and inode of files that are not worth a look.
    """

    known: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LookToTheEnd:
    """To the process that looks: look at what is in the ring, and then answer."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A file that a process mapped.

    Args:
        path: As that process sees it, its bytes in hexadecimal.
        time: When it was mapped, CLOCK_MONOTONIC in ns.
        process: Which mapped it.
    """

    path: str
    time: int
    process: int


@dataclass(frozen=True, slots=True)
class Found(Mapped):
    """From the process that looks, with the file's descriptor: a file with this build-id, a target's."""

    build_id: str


@dataclass(frozen=True, slots=True)
class Missed(Mapped):
    """From the process that looks: a library of a provider in the plan that the plan does not have."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """From the process that looks: a process whose mappings it cannot look at."""

    process: int
    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """From the process that looks: a file that the kernel side is to report again when it is mapped again.

    Args:
        file: As `contract.MAPPED_KEY`, in hexadecimal.
    """

    file: str


@dataclass(frozen=True, slots=True)
class Looked:
    """From the process that looks: everything was looked at."""


@dataclass(frozen=True, slots=True)
class SealRun:
    """To the process that seals, with the descriptor of the seal: a run begins.

    Args:
        about: Fields of `seal.statement.Summary` that are known by then.
    """

    about: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class SealPart:
    """To the process that seals: a file of the trace, with its descriptor if it may be read."""

    name: str


@dataclass(frozen=True, slots=True)
class SealEnd:
    """To the process that seals: the trace is at its end.

    Args:
        about: Fields of `seal.statement.Summary` that are known by now.
        counts: The kernel side's, by name.
        seconds: How long the files may be read.
    """

    about: Mapping[str, str | int | bool]
    counts: Mapping[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Sealed:
    """From the process that seals: the seal is written; ``unread`` files could not be read."""

    unread: int


@dataclass(frozen=True, slots=True)
class Keep:
    """To the process that keeps, with two descriptors: the run directory, and the run's lock.

    Args:
        names: The files in that directory which are removed when the run is over.
    """

    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class MakePart:
    """To the process that makes files, with the descriptor of a directory: a file of this name is wanted in it."""

    name: str


@dataclass(frozen=True, slots=True)
class PartMade:
    """From the process that makes files, with a descriptor: the file."""


TO_WRITER = (Begin, AddNotes, Arguments, AddProfiles, Continue, Show, Finish)
FROM_WRITER = (Begun, Full, Profiled, Failed, Written)
TO_SEALER = (SealRun, SealPart, SealEnd)
FROM_SEALER = (Begun, Sealed, Failed)
TO_KEEPER = (Keep,)
TO_PART_PROCESS = (MakePart,)
FROM_PART_PROCESS = (PartMade, Failed)
TO_FINDER = (Look, LookToTheEnd)
FROM_FINDER = (Found, Missed, Unseen, Again, Arguments, Looked)
