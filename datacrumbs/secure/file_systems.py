"""File systems whose answers a user may keep back: the kernel must not wait for those.

While the kernel reads the instruction to be probed it forks no process (uprobe_register holds dup_mmap_sem), and a
program that serves a file system (FUSE) can let it wait for ever. That of a system account, as CVMFS has, is the
site's own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import struct
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOGIN_DEFINITIONS = Path("/etc/login.defs")
_FIRST_USER = 1000  # where that does not say it
_FUSE, OVERLAY = 0x65735546, 0x794C7630
_SERVED = "it is on a file system that a user's program serves (FUSE)"
_CONNECTIONS = Path("/sys/fs/fuse/connections")  # fusectl
# Flags of statx(2), what is asked for, and the size of its answer.
_EMPTY_PATH, _DO_NOT_SYNCHRONIZE, _BASIC, _STATX_BYTES = 0x1000, 0x4000, 0x7FF, 256
_STATX_UID, _STATX_MODE, _STATX_BLOCKS, _STATX_DEVICE = 20, 28, 48, 136
_BLOCK = 512
_LOCAL_LOCKS = re.compile(rb"\blocal_lock=(all|flock)\b")  # nfs(5)
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_MOST = 40  # as the kernel follows
_OPTIONAL_FIELDS = 6  # of a line of mountinfo: from there on, up to a "-"
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class MountLine:
    """A line of proc_pid_mountinfo(5).

    Args:
        identity: Its number.
        device: Of the file system, ``major:minor``.
        directory: Which one of the file system is mounted; escaped.
        point: Where; escaped.
        kind: Of the file system.
        options: Its own.
    """

    identity: bytes
    device: bytes
    directory: bytes
    point: bytes
    kind: bytes
    options: bytes

    @property
    def served_by_user(self) -> bool:
        """Whether a program of a user's answers for it."""
        user = re.search(rb"\buser_id=(\d+)", self.options)
        return self.kind.startswith(b"fuse") and user is not None and int(user[1]) >= _first_user()


# Lower ids are accounts of the system. Sites that began long ago have users from 500 on.
@cache
def _first_user() -> int:
    with suppress(OSError):
        if found := re.search(rb"^\s*UID_MIN\s+(\d+)\s*$", _LOGIN_DEFINITIONS.read_bytes(), re.MULTILINE):
            return min(int(found[1]), _FIRST_USER)
    return _FIRST_USER


@dataclass(frozen=True, slots=True)
class KnownStatus:
    """What the kernel knows of an open file by itself.

    Args:
        mode: Kind and rights.
        uid: Its owner.
        taken: Bytes that it takes.
    """

    mode: int
    uid: int
    taken: int


def is_served_by_user(descriptor: int, mounts: Sequence[MountLine] | None = None) -> bool:
    """Whether a file that was opened by its path here is on a file system that a user's program serves.

    Args:
        descriptor: The file.
        mounts: Those here, if they were read already.
    """
    found = _by_identity(descriptor, read_mounts() if mounts is None else mounts)
    return found is not None and found.served_by_user


def is_of_processes(descriptor: int) -> bool:
    """Whether a file says something of processes: their memory and environment are files, too (proc(5))."""
    found = _by_identity(descriptor, read_mounts())
    return found is not None and found.kind == b"proc"


def locks_are_asked_for(descriptor: int) -> bool:
    """Whether a lock of a file is a question to another daemon, waited for without end: NFS before version 4."""
    found = _by_identity(descriptor, read_mounts())
    return found is not None and found.kind == b"nfs" and not _LOCAL_LOCKS.search(found.options)


class ServedError(Exception):
    """A path leads to a file system that a user's program serves."""


def open_unasked(directory: Path) -> int:
    """A descriptor (O_PATH) of a directory; on the way, nothing is asked of what a user's program serves.

    Raises:
        ServedError: There is such a file system on the way.
        OSError: It is not there, or no directory.
    """
    rest, links = list(reversed(directory.absolute().parts)), 0
    with ExitStack() as stack:
        here = -1
        while rest:
            name = rest.pop()
            there = os.open(name, _STEP) if name == "/" else os.open(name, _STEP, dir_fd=here)
            stack.callback(os.close, there)
            if is_served_by_user(there):
                raise ServedError
            if not stat.S_ISLNK(known_status(there).mode):
                here = there
                continue
            links += 1
            if links > _LINKS_MOST:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            rest += reversed(PurePosixPath(os.readlink("", dir_fd=there)).parts)
        if not stat.S_ISDIR(known_status(here).mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return os.dup(here)


def problem_of_mapped(descriptor: int) -> str:
    """Why a file that came from another process must not be probed because of where it is; empty if it may.

    It may be on a mount that this process does not see. A user can mount some kinds of file systems in a namespace
    of their own: one that a program serves, and one that is laid over such a one.
    """
    mounts = read_mounts()
    found = _by_identity(descriptor, mounts)
    if found is None:
        major, minor = device_of(descriptor)
        found = next((mount for mount in mounts if mount.device == b"%d:%d" % (major, minor)), None)
        if found is None:
            return _problem_of_unseen(descriptor, minor)
    return _SERVED if found.served_by_user else ""


# The kernel lists what programs serve, by device. Where that cannot be read, the file system must be asked.
def _problem_of_unseen(descriptor: int, minor: int) -> str:
    if _CONNECTIONS.is_mount() and (_CONNECTIONS / str(minor)).is_dir():
        return _SERVED
    kind = file_system_kind(descriptor)
    if kind == OVERLAY:
        return "it is on an overlay that is mounted in a namespace of its own"
    return _SERVED if kind == _FUSE else ""


def device_of(descriptor: int) -> tuple[int, int]:
    """Major and minor number of a file's system, which is not asked: by fstat(2), a program that serves it would be.

    Raises:
        OSError: The file is gone.
    """
    return struct.unpack_from("II", _statx(descriptor, 0), _STATX_DEVICE)


def known_status(descriptor: int) -> KnownStatus:
    """What the kernel has of a file; its system is not asked either.

    Raises:
        OSError: The file is gone, or its system is another user's alone (FUSE).
    """
    buffer = _statx(descriptor, _BASIC)
    (uid,) = struct.unpack_from("I", buffer, _STATX_UID)
    (mode,) = struct.unpack_from("H", buffer, _STATX_MODE)
    (blocks,) = struct.unpack_from("Q", buffer, _STATX_BLOCKS)
    return KnownStatus(mode, uid, blocks * _BLOCK)


def _statx(descriptor: int, wanted: int) -> ctypes.Array[ctypes.c_char]:
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if _LIBC.statx(descriptor, b"", _EMPTY_PATH | _DO_NOT_SYNCHRONIZE, wanted, buffer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return buffer


def file_system_kind(descriptor: int) -> int:
    """The magic number of the file system that an open file is on (statfs(2))."""
    buffer = ctypes.create_string_buffer(512)
    if _LIBC.fstatfs(descriptor, buffer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ctypes.c_long.from_buffer(buffer).value


# Users name mount points and sources. The kernel escapes space and newline in them, but no other white space, and an
# empty source is an empty field.
def read_mounts(file: Path = Path("/proc/self/mountinfo")) -> list[MountLine]:
    """The mounts that a process sees, of this one or another.

    Raises:
        OSError: The process has ended, or is another user's.
    """
    mounts = []
    for line in file.read_bytes().split(b"\n"):
        if line:
            fields = line.split(b" ")
            kind = fields.index(b"-", _OPTIONAL_FIELDS) + 1
            mounts.append(
                MountLine(fields[0], fields[2], fields[3], fields[4], fields[kind], b" ".join(fields[kind + 2 :]))
            )
    return mounts


# A file of another namespace has the number of a mount there, which none here has.
def _by_identity(descriptor: int, mounts: Sequence[MountLine]) -> MountLine | None:
    match = re.search(rb"^mnt_id:\s*(\d+)$", Path(f"/proc/self/fdinfo/{descriptor}").read_bytes(), re.MULTILINE)
    return next((mount for mount in mounts if match and mount.identity == match[1]), None)
