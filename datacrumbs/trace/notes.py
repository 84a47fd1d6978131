"""What a reader must know of an interval of the run: that calls were lost in it, for instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.trace.names import metadata_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacrumbs.model.plan import Function

NOTE = "datacrumbs_note"
LOST = "lost"
DEGRADED = "degraded"
LATE = "probed_late"
NOT_PROBED = "not_probed"
NAMES_FULL = "names_full"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened in one interval.

    A ``lost`` note has the details ``cause`` and ``calls``: the calls that were lost in this interval, not since
    the beginning; all notes of a function and cause add up to the footer's ``lost_<cause>``.

    A ``probed_late`` note is of a file that was mapped at its beginning and probed from its end on: calls of it in
    between are not in the trace. A ``not_probed`` note is of a library of a selected provider that was mapped and
    never probed. Both have the details ``file``, ``provider`` and ``process``.

    A ``names_full`` note says from when on new names are not kept (`names_mib`).

    Args:
        event: ``LOST``, ``DEGRADED``, ``LATE``, ``NOT_PROBED``, ``NAMES_FULL``.
        begin: CLOCK_MONOTONIC, ns.
        end: The same.
        function: Position in the plan's functions, or None for what concerns the whole run.
        details: Further arguments, flat.
    """

    event: str
    begin: int
    end: int
    function: int | None = None
    details: Mapping[str, str | int] = field(default_factory=dict)


def note_line(note: Note, functions: Sequence[Function], epoch_offset_ns: int) -> str:
    """The line of a note.

    Args:
        note: What happened.
        functions: The plan's.
        epoch_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC, in ns.
    """
    arguments: list[tuple[str, str | int]] = [("event", note.event)]
    arguments += [(key, (time + epoch_offset_ns) // 1000) for key, time in (("begin", note.begin), ("end", note.end))]
    if note.function is not None:
        function = functions[note.function]
        arguments += [("function", note.function), ("name", function.name)]
        arguments += [("symbol", function.symbol), ("category", function.category)]
    return metadata_line(NOTE, 0, 0, [*arguments, *note.details.items()])
