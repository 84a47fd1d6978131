"""Whether files are the trace that a seal is about, whole and unchanged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.trace.footer import LOSSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from datacrumbs.seal.statement import Summary

MATCHES, ALTERED, NOT_GIVEN, NOT_READ = "matches", "altered", "not given", "not read when the run ended"
SAME = ("entered", "unmatched", "in_flight", "lost_ring_full", "lost_too_deep", "lost_no_memory")
"""Counters that are the kernel's in a trace, too."""
SUM = ("recorded", "filtered", "counted")
"""Calls may move among these, or get lost, while they are written: their sum is the kernel's."""


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """What became of one part: ``path`` is the file that matches it, or that has its name."""

    name: str
    state: str
    path: Path | None = None


def check_parts(summary: Summary, files: Sequence[Path]) -> tuple[list[CheckedPart], list[Path]]:
    """Compare files with the parts of a trace, by their content; gives the parts, and files that are none of them.

    Raises:
        DatacrumbsError: (exit 2) when a file cannot be read.
    """
    digests = {file: _digest(file) for file in files}
    checked = []
    for part in summary.parts:
        same = next((file for file, digest in digests.items() if digest == part.sha256), None)
        named = next((file for file in digests if file.name == part.name), None)
        if same is not None:
            checked.append(CheckedPart(part.name, MATCHES, same))
        elif named is None:
            checked.append(CheckedPart(part.name, NOT_GIVEN))
        else:
            checked.append(CheckedPart(part.name, ALTERED if part.sha256 else NOT_READ, named))
    known = {part.path for part in checked}
    return checked, [file for file in files if file not in known]


def differences(summary: Summary, footer: Mapping[str, int]) -> list[str]:
    """Where the end of a trace gives other numbers than the kernel's counters, in words."""
    counts = dict(summary.counts)
    found = [
        f"{key}: {footer.get(key, 0)} in the trace, {counts.get(key, 0)} by the kernel's counters"
        for key in SAME
        if footer.get(key, 0) != counts.get(key, 0)
    ]
    written = sum(footer.get(key, 0) for key in (*SUM, *(f"lost_{cause}" for cause in LOSSES)))
    counted = sum(counts.get(key, 0) for key in SUM)
    if written != counted:
        found.append(f"recorded, filtered, counted or lost: {written} in the trace, {counted} by the kernel's counters")
    return found


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise usage_error(f"{file}: {error.strerror}") from None
