"""Whether a file that a traced process mapped holds what the plan's target holds, and may be probed like it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from datacrumbs.elf.build_id import gnu_build_id
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Attach
from datacrumbs.secure.file_systems import problem_of_mapped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from datacrumbs.model.plan import Group, Target

_PAGE = 4096
_INSTRUCTION = 16  # bytes at most
_PART = 1 << 20


def verify_mapped(
    descriptor: int, target: Target, signed: int, groups: Iterable[Group], owners: Collection[int]
) -> None:
    """Check that probes of a target may be put into another file.

    The file is compared with the one that was signed: every page in which a probe is. So the probes are at the
    instructions that the signer looked at.

    Args:
        descriptor: The file that was mapped, open for reading.
        target: The plan's target that it is said to be.
        signed: The target's own file, open for reading.
        groups: The plan's groups of that target.
        owners: User ids that may own the file.

    Raises:
        DatacrumbsError: saying why it is not probed.
    """
    if problem := problem_of_mapped(descriptor):
        raise DatacrumbsError(problem)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise DatacrumbsError("it is not a regular file")
    if status.st_uid not in owners:
        raise DatacrumbsError(f"it is owned by uid {status.st_uid}, who is neither root nor the run's user")
    if status.st_mode & stat.S_IWOTH:
        raise DatacrumbsError("it is writable by all users")
    try:
        with open(descriptor, "rb", closefd=False) as stream:
            found = gnu_build_id(stream)
        if found != target.build_id:
            raise DatacrumbsError("its build-id is another one than was said")
        for start, size in _parts(groups):
            if os.pread(descriptor, size, start) != os.pread(signed, size, start):
                raise DatacrumbsError("it differs from the signed file where probes are")
    except OSError as error:
        raise DatacrumbsError(f"it cannot be read: {error.strerror}") from None


# Start and size of what has to be the same: whole pages, those side by side together.
def _parts(groups: Iterable[Group]) -> Iterator[tuple[int, int]]:
    pages: set[int] = set()
    for group in groups:
        for function in group.functions:
            others = (*function.more_places, *function.return_places)
            for place in (function.offset, *(other.offset for other in others)):
                skip = function.skip if group.attach is Attach.UPROBE else 0
                pages.update(range(place // _PAGE, (place + skip + _INSTRUCTION) // _PAGE + 1))
    start = size = 0
    for page in sorted(pages):
        if page * _PAGE == start + size and size < _PART:
            size += _PAGE
            continue
        if size:
            yield start, size
        start, size = page * _PAGE, _PAGE
    if size:
        yield start, size
