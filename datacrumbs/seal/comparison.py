"""Whether files are the trace that a seal is about, whole and unchanged."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.secure.files import open_regular
from datacrumbs.trace.footer import LOSSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from datacrumbs.seal.statement import SealedPart, Summary

MATCHES, ALTERED, NOT_GIVEN, NOT_READ = "matches", "altered", "not given", "not read when the run ended"
_READ = 1 << 20
SAME = ("entered", "unmatched", "in_flight", "lost_ring_full", "lost_too_deep", "lost_no_memory")
"""Counters that are the kernel's in a trace, too."""
SUM = ("recorded", "filtered", "counted")
"""Calls may move among these, or get lost, while they are written: their sum is the kernel's."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is held open: whatever its owner does to its name, it is this one.

    Args:
        path: By which it was opened.
        descriptor: It.
        state: Size and times when it was opened, which show whether it was changed since.
    """

    path: Path
    descriptor: int
    state: tuple[int, int, int]

    @property
    def place(self) -> Path:
        """A path of this process's own by which it is read."""
        return Path(f"/proc/self/fd/{self.descriptor}")

    @property
    def has_changed(self) -> bool:
        """Whether somebody has written to it."""
        return _state(self.descriptor) != self.state


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """What became of one part: ``path`` is the file that matches it, or that has its name; ``file`` the first of these.

    Args:
        name: Of the part.
        state: One of the words above.
        path: Of the file.
        file: That file.
    """

    name: str
    state: str
    path: Path | None = None
    file: FoundFile | None = None


def check_parts(summary: Summary, files: Sequence[Path], stack: ExitStack) -> tuple[list[CheckedPart], list[Path]]:
    """Compare files with the parts of a trace, by their content; gives the parts, and files that are none of them.

    Files of other sizes than the parts' are not read: who owns them can make them without end.

    Args:
        summary: What the seal says.
        files: Paths.
        stack: Holds files of the trace open.

    Raises:
        DatacrumbsError: (exit 2) when a file cannot be read; (exit 3) for one that is no regular file.
    """
    content = _Content(files, {part.size for part in summary.parts if part.sha256})
    stack.callback(content.close)
    checked = []
    for part in summary.parts:
        same = content.matching(part) if part.sha256 else None
        named = next((file for file in files if file.name == part.name), None)
        if same is not None:
            checked.append(CheckedPart(part.name, MATCHES, same.path, same))
        elif named is None:
            checked.append(CheckedPart(part.name, NOT_GIVEN))
        else:
            checked.append(CheckedPart(part.name, ALTERED if part.sha256 else NOT_READ, named))
    known = {part.path for part in checked}
    return checked, [file for file in files if file not in known]


class _Content:
    # Files of the sizes of parts, open, and their digests as far as these were asked for.
    def __init__(self, files: Sequence[Path], sizes: set[int]) -> None:
        self._of_size: dict[int, list[FoundFile]] = {}
        self._digests: dict[int, str] = {}
        for path in files:
            descriptor = open_regular(path, follow=True)
            state = _state(descriptor)
            if state[0] in sizes:
                self._of_size.setdefault(state[0], []).append(FoundFile(path, descriptor, state))
            else:
                os.close(descriptor)

    def matching(self, part: SealedPart) -> FoundFile | None:
        files = sorted(self._of_size.get(part.size, ()), key=lambda file: file.path.name != part.name)
        return next((file for file in files if self._digest(file) == part.sha256), None)

    def close(self) -> None:
        for file in chain.from_iterable(self._of_size.values()):
            os.close(file.descriptor)

    def _digest(self, file: FoundFile) -> str:
        found = self._digests.get(file.descriptor)
        if found is None:
            found = self._digests[file.descriptor] = _digest(file)
        return found


def _state(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


# Of as many bytes as it had.
def _digest(file: FoundFile) -> str:
    digest, left = hashlib.sha256(), file.state[0]
    try:
        while left and (data := os.pread(file.descriptor, min(left, _READ), file.state[0] - left)):
            digest.update(data)
            left -= len(data)
    except OSError as error:
        raise usage_error(f"{file.path}: {error.strerror}") from None
    return digest.hexdigest()


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
