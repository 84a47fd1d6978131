"""A file's new content, made in a directory that is closed to others, takes the file's name in one step.

Names in a directory belong to who may write there, so everything is done on descriptors: between two steps another
user can exchange any name, and what is changed is still the file that was opened.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, refusal
from datacrumbs.secure.files import extended_attributes, open_without_links

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_NAME = "new"


class Replacement:
    """A copy of a file, in a directory of its own beside the name that it is to take.

    Args:
        target: The name that it takes.
        room: Descriptor of the directory that the copy is in.
    """

    def __init__(self, target: Path, room: int) -> None:
        self.target = target
        self._room = room

    @property
    def path(self) -> str:
        """The copy, by way of the descriptor: for this process, and for those that inherit `descriptors`."""
        return f"/proc/self/fd/{self._room}/{_NAME}"

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a process needs to open `path`."""
        return (self._room,)

    def open(self) -> int:
        """A descriptor of the copy, the caller's."""
        return os.open(_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._room)


@contextmanager
def replacement(source: int, target: Path) -> Iterator[Replacement]:
    """Give a copy to change; when the block ends it takes its name, and after an exception nothing is left.

    Args:
        source: Descriptor of the file to copy; mode, times and attributes become those of this file, and the owner
            where ``target`` is this file itself. Any other new file belongs to who runs this.
        target: Whose name the copy takes; absolute, and no part of its directory may be a symbolic link.

    Raises:
        DatacrumbsError: (exit 1) when something cannot be written or given to the file's owner; (exit 3)
            when another user exchanged the directory that the copy was to be made in.
    """
    status = os.fstat(source)
    try:
        parent = open_without_links(target.parent, _DIRECTORY)
    except OSError as error:
        raise DatacrumbsError(f"{target.parent}: cannot be opened: {error.strerror}") from None
    room_name = f".{target.name[:200]}.{secrets.token_hex(8)}"
    room = -1
    try:
        room = _make_room(parent, room_name, target)
        with os.fdopen(os.open(_NAME, _NEW, 0o600, dir_fd=room), "wb") as stream:
            os.lseek(source, 0, os.SEEK_SET)
            with os.fdopen(os.dup(source), "rb") as original:
                shutil.copyfileobj(original, stream)
        made = Replacement(target, room)
        yield made
        _finish(source, status, made, in_place=_is_named(status, target.name, parent))
        os.rename(_NAME, target.name, src_dir_fd=room, dst_dir_fd=parent)
        os.fsync(parent)
    except OSError as error:
        raise DatacrumbsError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        if room >= 0:
            with suppress(OSError):
                os.unlink(_NAME, dir_fd=room)
            os.close(room)
            with suppress(OSError):
                os.rmdir(room_name, dir_fd=parent)
        os.close(parent)


# Between the two steps its name may have been given to another directory, in which nothing is to be done.
def _make_room(parent: int, name: str, target: Path) -> int:
    os.mkdir(name, 0o700, dir_fd=parent)
    room = os.open(name, _DIRECTORY, dir_fd=parent)
    status = os.fstat(room)
    if status.st_uid != os.geteuid() or status.st_mode & 0o777 != stat.S_IRWXU:
        os.close(room)
        raise refusal(
            f"{target.parent / name}: a directory just made here is another user's, or open to others",
            "give an OUTPUT in a directory that only you can change",
        )
    return room


def _is_named(status: os.stat_result, name: str, parent: int) -> bool:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


def _finish(source: int, status: os.stat_result, made: Replacement, *, in_place: bool) -> None:
    copy = made.open()
    try:
        written = os.fstat(copy)
        if in_place and (status.st_uid, status.st_gid) != (written.st_uid, written.st_gid):
            _give_back(copy, status, made.target)
        for name in extended_attributes(source):
            with suppress(OSError):  # as copying does it: not all can be set by everybody
                os.setxattr(copy, name, os.getxattr(source, name))
        os.fchmod(copy, status.st_mode & 0o777)
        # The content is new, and who compares dates must see that.
        os.utime(copy, ns=(status.st_atime_ns, written.st_mtime_ns))
        os.fsync(copy)
    finally:
        os.close(copy)


def _give_back(copy: int, status: os.stat_result, target: Path) -> None:
    try:
        os.fchown(copy, status.st_uid, status.st_gid)
    except PermissionError:
        raise DatacrumbsError(
            f"{target}: another user's or group's file; the new one could not be given back to them",
            hint="run the command as the file's owner, or give the name of a file of your own to write",
        ) from None
