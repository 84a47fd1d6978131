"""Files that root makes in places where others may write: no link is followed, nothing is overwritten."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import stat
import struct
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from datacrumbs.daemon.keeper_process import KeeperProcess
from datacrumbs.errors import DatacrumbsError, refusal
from datacrumbs.secure.file_systems import is_served_by_user, locks_are_asked_for
from datacrumbs.system import SEARCHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.daemon.identity import Owner

SUFFIX = ".pfw.gz"
SOCKET = ".sock"
FORGOTTEN_SECONDS = 7 * 24 * 3600
"""How long the files of a failed run are kept, so that its cause can be found."""
_OF_A_RUN = {".env", ".log", ".ready", ".new", ".lock", SOCKET}
_BACKLOG = 16
# linux/posix_acl_xattr.h
_ACL_VERSION, _NO_ID = 2, 0xFFFFFFFF
_MAY_READ, _MAY_CONNECT = 4, 6
_ACL_OWNER, _ACL_USER, _ACL_GROUP, _ACL_MASK, _ACL_OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20
_NEW_DIRECTORY = 0o1500
"""Mode of a directory that a run has made and not given away yet, by which it is told from what root made otherwise."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a file of a trace is opened: nothing is overwritten, no link is followed."""


def create_trace(directory: Path, components: tuple[str, ...], owner: Owner) -> BinaryIO:
    """Create a trace file below ``directory``, owned by the run's user, for writing, and for reading what was written.

    Directories on the way are made with mode 0700 for the same user.

    Raises:
        DatacrumbsError: (exit 3) when something on the way is a link; (exit 1) when the file
            exists or cannot be made.

    """
    stream, place = create_trace_in_place(directory, components, owner)
    os.close(place)
    return stream


def create_trace_in_place(directory: Path, components: tuple[str, ...], owner: Owner) -> tuple[BinaryIO, int]:
    """The same, and the descriptor of the directory that the file is in.

    Raises:
        DatacrumbsError: As `create_trace` does.
    """
    descriptor = _open_directory(directory)
    try:
        for part in components[:-1]:
            below = _enter(directory, descriptor, part, owner)
            os.close(descriptor)
            descriptor = below
        return _create(directory, components, descriptor, owner), os.dup(descriptor)
    except OSError as error:
        raise DatacrumbsError(
            f"{directory.joinpath(*components)}: cannot create the trace: {error.strerror}",
            hint=_way_out(error),
        ) from None
    finally:
        os.close(descriptor)


def _create(directory: Path, components: tuple[str, ...], place: int, owner: Owner) -> BinaryIO:
    try:
        trace = os.open(components[-1], NEW_FILE, 0o600, dir_fd=place)
    except FileExistsError:
        raise DatacrumbsError(
            f"{directory.joinpath(*components)}: the trace exists already and is never overwritten",
            hint="give another run id, or move the old trace away",
        ) from None
    os.fchown(trace, owner.uid, owner.gid)
    hold(trace)
    return os.fdopen(trace, "wb", buffering=0)


def hold(trace: int) -> None:
    """Lock a new file of a trace until nothing has it open any more: by that others see that it is being written.

    Where the file system has no locks, or would have the run wait for one, they do not.
    """
    with suppress(OSError):
        if not locks_are_asked_for(trace):
            fcntl.flock(trace, fcntl.LOCK_EX | fcntl.LOCK_NB)


def let_read(descriptor: int, uid: int) -> None:
    """Let a user read a file that stays root's: the user can neither change it nor fill the file system with it.

    By an access list, since groups are shared. Where the file system has none, root alone reads it.
    """
    _let_use(descriptor, uid, _MAY_READ)


def _let_use(place: int | Path, uid: int, may: int) -> None:
    of_tags = ((_ACL_OWNER, may), (_ACL_USER, may), (_ACL_GROUP, 0), (_ACL_MASK, may), (_ACL_OTHERS, 0))
    entries = ((tag, rights, uid if tag == _ACL_USER else _NO_ID) for tag, rights in of_tags)
    text = struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(place, "system.posix_acl_access", text)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise


def part_name(components: tuple[str, ...], part: int) -> tuple[str, ...]:
    """The path of a part of a trace that goes on in several files: ``x.pfw.gz``, ``x.1.pfw.gz``, ``x.2.pfw.gz``."""
    if not part:
        return components
    return (*components[:-1], f"{components[-1].removesuffix(SUFFIX)}.{part}{SUFFIX}")


def remove_trace(directory: Path, components: tuple[str, ...]) -> None:
    """Remove a trace that never began; the way to it is the user's, so no link on it is followed."""
    with suppress(OSError), ExitStack() as stack:
        descriptor = os.open(directory, _DIRECTORY)
        stack.callback(os.close, descriptor)
        for part in components[:-1]:
            descriptor = os.open(part, _DIRECTORY, dir_fd=descriptor)
            stack.callback(os.close, descriptor)
        os.unlink(components[-1], dir_fd=descriptor)


def _way_out(error: OSError) -> str:
    if error.errno == errno.EROFS:
        again = "run datacrumbs_setup and systemctl daemon-reload"
        return f"it is mounted read-only, or trace_log_dir was changed: then {again}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "free space where the traces go, or set trace_log_dir in datacrumbs.yaml"
    return "see who may write there, or set trace_log_dir in datacrumbs.yaml"


def _open_directory(directory: Path) -> int:
    try:
        return os.open(directory, _DIRECTORY)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR} and directory.is_symlink():
            raise refusal(
                f"{directory}: the trace directory is a symbolic link",
                "set trace_log_dir in datacrumbs.yaml to the real directory",
            ) from None
        raise DatacrumbsError(
            f"{directory}: cannot open the trace directory: {error.strerror}",
            hint="run datacrumbs_setup, or set trace_log_dir in datacrumbs.yaml",
        ) from None


def _enter(directory: Path, descriptor: int, part: str, owner: Owner) -> int:
    _refuse_served(directory, descriptor, part)
    try:
        os.mkdir(part, _NEW_DIRECTORY, dir_fd=descriptor)
        made = True
    except FileExistsError:
        made = False
    try:
        below = os.open(part, _DIRECTORY, dir_fd=descriptor)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise refusal(
                f"{directory}: {part!r} on the way to the trace is a link or not a directory",
                "remove it; the daemon makes its directories itself",
            ) from None
        raise
    _give_new(below, owner, made=made)
    if made and os.fstat(below).st_uid == os.geteuid() != owner.uid:
        os.close(below)
        raise refusal(f"{directory}: {part!r} is not the directory that was made there", "start again")
    return below


# Of the runs that find a new directory at once, each gives it away before it puts anything into it, so none waits for
# the one that made it. The directory above may be the user's, who could have put another one of root's under the name:
# what has something in it stays root's. What another user's run was given first is entered as any that is found.
def _give_new(directory: int, owner: Owner, *, made: bool) -> None:
    state = os.fstat(directory)
    # A directory takes set-group-id from the one above.
    is_new = made or stat.S_IMODE(state.st_mode) & ~stat.S_ISGID == _NEW_DIRECTORY
    if state.st_uid == os.geteuid() and is_new and not os.listdir(directory):
        os.fchmod(directory, 0o700)  # as long as it is root's
        os.fchown(directory, owner.uid, owner.gid)


# The user may have mounted something over the user's own directory: a program that serves it could let root's thread
# wait for ever. A path alone asks nothing of it.
def _refuse_served(directory: Path, descriptor: int, part: str) -> None:
    try:
        place = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
    except FileNotFoundError:
        return
    try:
        if is_served_by_user(place):
            raise refusal(
                f"{directory}: {part!r} on the way to the trace is on a FUSE file system of a user",
                "unmount it",
            )
    finally:
        os.close(place)


def socket_path(directory: Path, run: str) -> Path:
    """Where a run is asked what it has recorded.

    Args:
        directory: The run directory.
        run: Its id.
    """
    return directory / f"datacrumbs-{run}{SOCKET}"


class RunFiles:
    """The lock, the ready file and the socket of one run, below the run directory.

    Raises:
        DatacrumbsError: (exit 1) when a daemon runs under this id already.

    """

    def __init__(self, directory: Path, run: str) -> None:
        self._ready = directory / f"datacrumbs-{run}.ready"
        self._socket = socket_path(directory, run)
        self._bound = self._socket.with_name(secrets.token_hex(8))
        self._lock_path = directory / f"datacrumbs-{run}.lock"
        self._keeper: KeeperProcess | None = None
        try:
            directory.mkdir(mode=SEARCHED, parents=True, exist_ok=True)
            self._lock = locked(self._lock_path)
        except BlockingIOError:
            raise DatacrumbsError(
                f"a daemon is already running under the run id {run!r}",
                hint=f"stop it, or give another run id; its state is in {self._ready}",
            ) from None
        except OSError as error:
            raise DatacrumbsError(
                f"{self._lock_path}: cannot create: {error.strerror}",
                hint=f"run datacrumbs_setup, free space in {directory}",
            ) from None

    @property
    def ready(self) -> Path:
        """The ready file."""
        return self._ready

    def announce(self, trace: Path, owner: Owner) -> None:
        """Write the ready file, whole or not at all, for the run's user to read: from now on programs are traced.

        Raises:
            DatacrumbsError: (exit 1) when it cannot be written.

        """
        content = json.dumps({"pid": os.getpid(), "trace": os.fspath(trace), "user": owner.name}) + "\n"
        temporary = self._ready.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, flags, 0o400), "w") as stream:
                stream.write(content)
                let_read(stream.fileno(), owner.uid)
            temporary.rename(self._ready)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise DatacrumbsError(
                f"{self._ready}: cannot be written: {error.strerror}", hint=f"free space in {self._ready.parent}"
            ) from None

    def listen(self, owner: Owner) -> socket.socket:
        """Make the socket on which the run's user and root ask what is recorded.

        It is bound by a name that says nothing, since every user can read the names that sockets were bound by.

        Raises:
            DatacrumbsError: (exit 1) when it cannot be made.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        directory = os.open(self._socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        place = Path(f"/proc/self/fd/{directory}", self._bound.name)
        try:
            listener.bind(os.fspath(place))
            try:
                place.chmod(0o600)
                _let_use(place, owner.uid, _MAY_CONNECT)
                place.rename(self._socket)
            except OSError:
                place.unlink()
                raise
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise DatacrumbsError(
                f"{self._socket}: cannot be made: {error.strerror}", hint=f"free space in {self._socket.parent}"
            ) from None
        finally:
            os.close(directory)
        return listener

    def leave_to_a_process(self) -> None:
        """Have a process remove them, as root, when the run is over: this one will not be root then.

        Raises:
            DatacrumbsError: There is no such process.
        """
        directory = os.open(self._ready.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kept = (self._bound, self._socket, self._ready, self._lock_path)
            self._keeper = KeeperProcess([path.name for path in kept], directory, self._lock)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Remove them; idempotent."""
        if self._lock < 0:
            return
        if self._keeper is not None:
            self._keeper.close()
        with suppress(OSError):
            # If it is removed, all are, and the names may be another run's by now.
            if os.path.samestat(os.fstat(self._lock), self._lock_path.lstat()):
                self._socket.unlink(missing_ok=True)
                self._ready.unlink(missing_ok=True)
                self._lock_path.unlink()
        os.close(self._lock)
        self._lock = -1


# The holder removes the lock file when it ends. A process that opened the file before that would hold a lock that no
# other process meets, so it tries again.
def locked(path: Path, lock: Callable[[int, int], object] = fcntl.flock) -> int:
    """Make and lock a file; gives its descriptor.

    Args:
        path: The file, which who holds the lock removes before it is closed.
        lock: ``fcntl.lockf`` for a lock that is not held by what this process forks as well.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: It cannot be made.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        os.close(descriptor)


def files_of_past_runs(directory: Path) -> list[Path]:
    """The files below the run directory of runs that are over or have not begun."""
    found = sorted(path for path in directory.glob("datacrumbs-*") if path.suffix in _OF_A_RUN)
    return [path for path in found if not is_locked(path.with_suffix(".lock"))]


def remove_forgotten(directory: Path, now: float) -> None:
    """Remove what is left of runs that ended or were prepared more than a week ago.

    Args:
        directory: The run directory.
        now: Epoch seconds.
    """
    for path in files_of_past_runs(directory):
        with suppress(OSError):
            if now - path.lstat().st_ctime > FORGOTTEN_SECONDS:
                path.unlink()


def is_locked(path: Path) -> bool:
    """Whether the daemon that made this lock file runs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
