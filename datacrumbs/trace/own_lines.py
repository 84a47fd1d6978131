"""Lines of our own that are no calls: what a trace says of itself, and calls that were added up."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from datacrumbs.trace.clocks import CLOCK, read_clock_line
from datacrumbs.trace.corrections import ClockReading
from datacrumbs.trace.footer import COUNTS, FOOTER, PROVENANCE
from datacrumbs.trace.line_checks import check_own_line
from datacrumbs.trace.mounts import MOST_MOUNTS, MOUNT, read_mount
from datacrumbs.trace.names import RUN
from datacrumbs.trace.notes import NOTE
from datacrumbs.trace.processes import PROCESS_EVENT
from datacrumbs.trace.profiles import PROFILE, SAMPLED, read_profile, read_sampled
from datacrumbs.trace.sums import SUMS, read_sums

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.trace.file_facts import TraceFile

OUR_LINE = re.compile(rb'^\{"name":"datacrumbs_[^\n]*', re.MULTILINE)


def take_our_lines(trace: TraceFile, text: bytes) -> Iterator[dict[str, Any]]:
    """Take what lines say of a trace.

    Args:
        trace: Takes what they say.
        text: Whole lines, of any kind.

    Yields:
        Calls that were added up, see `read_profile`, with ``name`` and ``pid``.
    """
    for line in OUR_LINE.findall(text):
        document = _our_line(trace, line)
        _take_our_line(trace, document)
        profile = _profile(document) if document.get("name") == PROFILE else None
        if profile is not None:
            trace.profiles += 1
            yield profile


def _our_line(trace: TraceFile, line: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):
        return {}  # counted as skipped where all lines are parsed
    try:
        check_own_line(document)
    except ValueError:
        trace.skipped += 1
        return {}
    return document


def _profile(document: dict[str, Any]) -> dict[str, Any] | None:
    process = document.get("pid")
    profile = read_profile(document["args"]) if isinstance(process, int) and 0 <= process < 1 << 32 else None
    return profile and {**profile, "name": profile["function"], "pid": process}


def _take_figures(trace: TraceFile, name: str, arguments: dict[str, Any]) -> None:
    if name == SAMPLED:
        trace.sampled |= read_sampled(arguments)
    elif sums := read_sums(arguments):
        trace.sums.append(sums)


def _take_our_line(trace: TraceFile, document: dict[str, Any]) -> None:
    arguments = document.get("args", {})
    match document.get("name"):
        case name if name == RUN:
            trace.run = arguments
        case name if name == COUNTS:
            trace.counts.append(arguments)
        case name if name == PROVENANCE:
            trace.provenance = arguments
        case name if name == FOOTER:
            trace.footer = arguments
        case name if name == CLOCK:
            reading = read_clock_line(arguments)
            trace.clocks += [ClockReading(*reading)] if reading else []
        case name if name == NOTE:
            trace.notes.append(arguments)
        case name if name in {SAMPLED, SUMS}:
            _take_figures(trace, name, arguments)
        case name if name == MOUNT and len(trace.mounts) < MOST_MOUNTS:
            trace.mounts |= read_mount(arguments)
        case name if name == PROCESS_EVENT:
            trace.events.append({"pid": document["pid"], "tid": document["tid"], **arguments})
