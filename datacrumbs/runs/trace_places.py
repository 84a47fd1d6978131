"""Where traces are: what root may go through by itself, and what is users', which is theirs to look into.

Of what is in a directory only its kind and owner are asked, and of the kernel alone: a user may have mounted there what
a program of the user's serves (FUSE).
"""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.daemon.identity import path_word
from datacrumbs.daemon.run_files import SUFFIX
from datacrumbs.secure.file_systems import ServedError, device_of, is_served_by_user, known_status, open_unasked
from datacrumbs.secure.files import DEEPEST, files_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from datacrumbs.system import SystemConfiguration

ROOT = 0
_TIMED, _LATEST = 512, 64
"""Traces of a user whose time is looked at, and how many of them are the latest: on many nodes a directory is slow."""
_ENTRY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class TracePlace:
    """A file with a trace's name, or another user's directory.

    Args:
        path: Where.
        uid: Whose it is.
        is_directory: Whether it is one.
    """

    path: Path
    uid: int
    is_directory: bool


def trace_places(top: Path, deepest: int = DEEPEST) -> Iterator[TracePlace]:
    """Files with a trace's name in a directory, and in those of root's below it; of others' directories themselves.

    Args:
        top: The directory; any user may own it.
        deepest: How many directories deep; 0 for what is in this one alone, and no directories.
    """
    with suppress(OSError, ServedError):
        place = open_unasked(top)
        try:
            yield from _below(place, top, deepest)
        finally:
            os.close(place)


def _below(place: int, path: Path, deepest: int) -> Iterator[TracePlace]:
    directory = os.open(".", _LISTED, dir_fd=place)
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                with suppress(OSError):
                    yield from _entry(directory, path / entry.name, deepest)
    finally:
        os.close(directory)


def _entry(directory: int, path: Path, deepest: int) -> Iterator[TracePlace]:
    place = os.open(path.name, _ENTRY, dir_fd=directory)
    try:
        status = known_status(place)
        # Where such a one is mounted, it says itself whose it is.
        if device_of(place) != device_of(directory) and is_served_by_user(place):
            return
        if not stat.S_ISDIR(status.mode):
            if stat.S_ISREG(status.mode) and path.name.endswith(SUFFIX):
                yield TracePlace(path, status.uid, is_directory=False)
        elif deepest and status.uid != ROOT:
            yield TracePlace(path, status.uid, is_directory=True)
        elif deepest:
            yield from _below(place, path, deepest - 1)
    finally:
        os.close(place)


def trace_directory(configuration: SystemConfiguration) -> Path:
    """Below which the host keeps the traces of this process's user, as far as it tells users apart."""
    top = configuration.trace_log_dir
    if configuration.trace_pattern.startswith("{user}/"):
        with suppress(KeyError):  # a user without an account
            top /= path_word(pwd.getpwuid(os.geteuid()).pw_name)
    return top


def latest_traces(configuration: SystemConfiguration) -> list[Path]:
    """The user's own latest files with a trace's name where the host keeps them, the last one first."""
    found = []
    for path in islice(_from_the_last(trace_directory(configuration)), _TIMED):
        with suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                found.append((status.st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)[:_LATEST]]


# By root, what is root's; directories of others are not gone into.
def _from_the_last(directory: Path) -> Iterable[Path]:
    if os.geteuid() != ROOT:
        return files_below(directory, SUFFIX, from_last=True)
    return sorted((place.path for place in trace_places(directory) if place.uid == ROOT), reverse=True)


def size_of(trace: str) -> int:
    """The bytes of a trace; 0 where there is none yet, or a user's program would have to be asked."""
    path = Path(trace)
    with suppress(OSError, ServedError, ValueError):
        directory = open_unasked(path.parent)
        try:
            place = os.open(path.name, _ENTRY, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            return 0 if is_served_by_user(place) else os.fstat(place).st_size
        finally:
            os.close(place)
    return 0
