"""Room for traces: how much is free, and how much a user's traces take where the host keeps them.

The directories there are their users', so what is looked at is never asked of a file system that a user put there.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.daemon.identity import path_word
from datacrumbs.secure.file_systems import device_of, known_status
from datacrumbs.serving.denial import DenialError

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.serving.caller import Caller
    from datacrumbs.system import SystemConfiguration

ROOT = 0
ENTRIES_MOST = 100_000
"""Most files and directories of one user."""
DEEPEST = 16
_OWN = "{user}/"
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def free_bytes(configuration: SystemConfiguration) -> int:
    """What users can still write where traces are kept.

    Raises:
        OSError: The directory is not there.
    """
    state = os.statvfs(configuration.trace_log_dir)
    return state.f_bavail * state.f_frsize


def taken_by(configuration: SystemConfiguration, caller: Caller) -> int:
    """The bytes that a user's files take where traces are kept.

    Raises:
        DenialError: There are too many to look at.
    """
    top = configuration.trace_log_dir
    if configuration.trace_pattern.startswith(_OWN):
        top /= path_word(caller.user)
    try:
        descriptor = os.open(top, _PLACE)
    except OSError:
        return 0  # no trace yet
    try:
        return _Sum(caller.uid, _device(configuration.trace_log_dir)).of(descriptor)
    finally:
        os.close(descriptor)


class _Sum:
    def __init__(self, uid: int, device: tuple[int, int]) -> None:
        self._uid = uid
        self._device = device
        self._seen = 0

    # Of a path alone nothing is asked; what is read is the same directory, whatever is mounted on it meanwhile.
    def of(self, place: int, depth: int = 0) -> int:
        if device_of(place) != self._device:
            return 0
        taken = 0
        directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    with suppress(OSError):
                        taken += self._one(directory, entry.name, depth)
        finally:
            os.close(directory)
        return taken

    def _one(self, directory: int, name: str, depth: int) -> int:
        place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            if device_of(place) != self._device:
                return 0
            state = known_status(place)
            if state.uid == self._uid:
                self._count()
            if stat.S_ISDIR(state.mode):
                return self.of(place, depth + 1) if state.uid in {ROOT, self._uid} and depth < DEEPEST else 0
            return state.taken if state.uid == self._uid else 0
        finally:
            os.close(place)

    # Of others' files, however many, none counts, and their directories are not entered.
    def _count(self) -> None:
        self._seen += 1
        if self._seen > ENTRIES_MOST:
            raise DenialError(
                "runs.total",
                f"more than {ENTRIES_MOST:,} files where your traces are kept",
                "move or remove some",
            )


def _device(path: Path) -> tuple[int, int]:
    descriptor = os.open(path, _PLACE)
    try:
        return device_of(descriptor)
    finally:
        os.close(descriptor)
