"""Reading and writing files that decide about privileges: bounded, without links, never half-written."""

from __future__ import annotations

import errno
import math
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, ExitCode, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

# O_NONBLOCK: opening a FIFO must not wait for a writer.
READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CAPABILITY_ATTRIBUTE = "security.capability"
_LINKS_MOST = 40  # as the kernel follows
DEEPEST = 64
"""How deep files are looked for below a directory."""
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def read_bounded(path: Path, limit: int, *, protected: bool = False, follow: bool = False) -> bytes:
    """Read a regular file once, whole, into memory.

    Args:
        path: The file.
        limit: Most bytes that are taken.
        protected: Whether only the administrator may be able to change it (see `check_protected`).
        follow: Take the file that a symbolic link names; otherwise a link is refused.

    Raises:
        DatacrumbsError: (exit 3) for a link, no regular file, one too large or one that others may
            write; (exit 1) when it is missing or cannot be read.
    """
    descriptor = open_regular(path, follow=follow)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if protected:
            check_protected(path, status)
        try:
            # The size can grow after fstat, so the read itself is bounded too.
            data = b"" if status.st_size > limit else stream.read(limit + 1)
        except OSError as error:
            raise DatacrumbsError(f"{path}: cannot be read: {error.strerror}") from None
    if status.st_size > limit or len(data) > limit:
        raise refusal(f"{path}: larger than {limit} bytes")
    return data


def open_regular(path: Path, *, follow: bool = False) -> int:
    """Open a regular file for reading and return its descriptor; a symbolic link is refused unless ``follow``.

    Raises:
        DatacrumbsError: (exit 3) for a link or no regular file; (exit 2) when it is not there; (exit 1) when it cannot
            be opened.
    """
    try:
        descriptor = os.open(path, READ_FLAGS & ~os.O_NOFOLLOW if follow else READ_FLAGS)
    except OSError as error:
        # Path.is_symlink raises where a directory is closed to this user.
        if not follow and os.path.islink(path):  # noqa: PTH114
            raise refusal(f"{path}: a symbolic link", "give the path of the file itself") from None
        code = ExitCode.USAGE if isinstance(error, FileNotFoundError) else ExitCode.FAILED
        raise DatacrumbsError(f"{path}: cannot be opened: {error.strerror}", exit_code=code) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refusal(f"{path}: not a regular file")
    return descriptor


def open_without_links(path: Path, flags: int) -> int:
    """Open what an absolute path names, when no part of it is a symbolic link.

    A path that was looked at before cannot lead elsewhere by a link that was put into it since.

    Raises:
        OSError: Something is missing or closed to this user (ELOOP or ENOTDIR for a link).
    """
    directory = os.open(path.anchor, _STEP)
    for part in path.parts[1:-1]:
        try:
            below = os.open(part, _STEP, dir_fd=directory)
        finally:
            os.close(directory)
        directory = below
    try:
        return os.open(path.name or ".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    finally:
        os.close(directory)


def check_protected(path: Path, status: os.stat_result | None = None) -> None:
    """Refuse a file or directory that somebody else than the administrator may change.

    The owner must be root, or the user who runs this (a private installation); neither the group nor
    others may write.

    Raises:
        DatacrumbsError: (exit 3).
    """
    found = status or path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise refusal(f"{path}: a symbolic link", "put the file or directory itself there")
    if found.st_uid not in {0, os.geteuid()}:
        raise refusal(f"{path}: owned by uid {found.st_uid}, expected root", f"chown root {path}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise refusal(f"{path}: writable by others (mode {stat.S_IMODE(found.st_mode):04o})", f"chmod go-w {path}")


def first_unprotected(path: Path, *, sticky: bool = False) -> Path | None:
    """The first part of a path, from the root on, that somebody else than root can change; None when there is none.

    Args:
        path: Absolute and without links in it (resolved): who can change a directory can exchange what is below.
        sticky: Take directories where everybody may make files, but change only their own (mode 1777), for protected.
    """
    for part in (*reversed(path.parents), path):
        found = part.lstat()
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if sticky and stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
            shared = 0
        if found.st_uid != 0 or shared:
            return part
    return None


def raised_privileges(descriptor: int) -> list[str]:
    """What gives an open program more rights than its caller's: setuid, setgid, file capabilities."""
    mode = os.fstat(descriptor).st_mode
    found = [name for bit, name in ((stat.S_ISUID, "setuid"), (stat.S_ISGID, "setgid")) if mode & bit]
    if CAPABILITY_ATTRIBUTE in extended_attributes(descriptor):
        found.append("file capabilities")
    return found


def extended_attributes(descriptor: int) -> list[str]:
    """Names of an open file's extended attributes; none where the file system has none."""
    try:
        return os.listxattr(descriptor)
    except OSError:
        return []


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that its name never leads to a part of it.

    Args:
        path: Where; what is there already is replaced, a symbolic link itself, not what it points to.
        data: The whole content.
        mode: Permissions, before the umask.

    Raises:
        DatacrumbsError: (exit 1) when that fails; then nothing is left behind.
    """
    with replacing(path, mode) as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A new file, open for writing, that takes a name when it is whole: at the end of the block.

    Args:
        path: As `write_atomically` has it.
        mode: Permissions, before the umask.

    Raises:
        DatacrumbsError: (exit 1) when that or the block fails with an OSError; then nothing is left behind.
    """
    if not path.name:
        raise DatacrumbsError(f"{path}: names no file; nothing was written")
    temporary = f".{path.name[:200]}.{secrets.token_hex(8)}"
    directory = -1
    try:
        if path.exists() and not path.is_file():
            raise DatacrumbsError(f"{path}: exists and is not a regular file; nothing was written")
        # Its owner may exchange it meanwhile: both names are those of one directory.
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        with os.fdopen(os.open(temporary, CREATE_FLAGS, mode, dir_fd=directory), "wb") as stream:
            yield stream
        os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be written: {error.strerror or error}; nothing was written") from None
    finally:
        if directory >= 0:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            os.close(directory)


def read_kept(path: Path, limit: int) -> bytes | None:
    """What `keep` wrote; None where nothing is kept.

    Raises:
        DatacrumbsError: As `read_bounded` of a protected file, also for a directory that somebody else may change.
    """
    if not os.path.lexists(path):
        return None
    check_protected(path.parent)
    return read_bounded(path, limit, protected=True)


def keep(path: Path, data: bytes) -> None:
    """Write a file for later. Its directory, and the one above, are made for this user alone if they are not there.

    Raises:
        DatacrumbsError: (exit 3) for a directory that somebody else may change; (exit 1) when it cannot be written.
        OSError: The directory cannot be made.
    """
    for place in (path.parent.parent, path.parent):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_protected(path.parent)
    write_atomically(path, data, 0o600)


def remove_oldest(directory: Path, suffix: str, most: int, room: float = math.inf) -> None:
    """Remove files beyond a number, and beyond a size of all together, those first that were written long ago.

    Args:
        directory: Where they are kept.
        suffix: Of their names.
        most: How many may stay.
        room: How many bytes may.

    Raises:
        OSError: One cannot be removed.
    """
    with os.scandir(directory) as entries:
        found = [(entry.stat(follow_symlinks=False), entry.name) for entry in entries if entry.name.endswith(suffix)]
    for number, (status, name) in enumerate(sorted(found, key=lambda each: -each[0].st_mtime_ns)):
        room -= status.st_size
        if number >= most or room < 0:
            (directory / name).unlink(missing_ok=True)


def files_below(
    directory: Path,
    suffix: str,
    refuse: Callable[[OSError], object] | None = None,
    deepest: int = DEEPEST,
    *,
    from_last: bool = False,
) -> Iterator[Path]:
    """Files whose names end so, in a directory and below it; no link to a directory is followed.

    Args:
        directory: Where.
        suffix: How they end.
        refuse: Told what cannot be listed, and what is too deep.
        deepest: How many directories deep; users nest them deeper than anything recurses.
        from_last: Whether each directory's come in the reverse order of their names: what names begin with is often a
            date.
    """
    own = len(directory.parts)
    for place, directories, names in os.walk(directory, onerror=refuse):
        if directories and len(Path(place).parts) - own >= deepest:
            directories.clear()
            if refuse is not None:
                refuse(OSError(errno.ELOOP, f"directories more than {deepest} deep", place))
        if from_last:
            directories.sort(reverse=True)
            names.sort(reverse=True)
        yield from (Path(place, name) for name in names if name.endswith(suffix))


def write_over(place: Path, data: bytes) -> None:
    """Write what somebody has named as an output: a file whole or not at all, a terminal or a pipe as it is.

    Links are followed as far as they are root's or this user's, as ``/dev/stdout`` is: one of somebody else, who may
    have expected the name, could lead to any file or device of this user's, and is replaced itself. A pipe of somebody
    else, who would read what is written or let it wait, is refused.

    Raises:
        DatacrumbsError: (exit 1) when that fails.
    """
    try:
        place = _behind_own_links(place)
        is_open = _is_open_file(place)
        if is_open and place.is_file():
            place, is_open = place.resolve(), False
        if is_open or not (place.is_symlink() or place.is_file() or not place.exists()):
            flags = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | (0 if is_open else os.O_NOFOLLOW)
            if not is_open:
                _check_pipe(place, place.lstat())
            with os.fdopen(os.open(place, flags), "wb") as stream:
                if not is_open:
                    _check_pipe(place, os.fstat(stream.fileno()))
                stream.write(data)
            return
    except OSError as error:
        raise DatacrumbsError(f"{place}: cannot be written: {error.strerror}") from None
    write_atomically(place, data)


def _check_pipe(place: Path, status: os.stat_result) -> None:
    if stat.S_ISFIFO(status.st_mode) and status.st_uid not in {0, os.geteuid()}:
        raise DatacrumbsError(f"{place}: another user's pipe; nothing was written")


def _behind_own_links(place: Path) -> Path:
    for _ in range(_LINKS_MOST):
        if not place.is_symlink() or place.lstat().st_uid not in {0, os.geteuid()} or _is_open_file(place):
            return place
        place = place.parent / place.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


# A link to what a process has open says no path by which that can be reached.
def _is_open_file(place: Path) -> bool:
    return Path(os.path.realpath(place.parent)).is_relative_to("/proc")


def is_file(path: Path) -> bool:
    """Whether a regular file is there; also False where this user cannot look (``Path.is_file`` raises there)."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def is_folder(path: Path) -> bool:
    """Whether a directory is there; also False where this user cannot look."""
    return os.path.isdir(path)  # noqa: PTH112 - likewise
