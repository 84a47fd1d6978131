"""File systems that a user serves: as much of FUSE's protocol as one file, or no answer at all, takes."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = b"served"
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE, _FLUSH, _INIT, _FORGET_MANY = 1, 2, 3, 14, 15, 18, 25, 26, 42
_ROOT, _FILE = 1, 2
_HEAD = struct.Struct("<IIQQ16x")
_LONGEST_READ = 300.0
_LARGEST_QUESTION = 1 << 18
_DETACH = 2  # of umount2(2)
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def served_file(
    directory: Path,
    content: bytes,
    uid: int,
    may_read: threading.Event | None = None,
    asked: list[int] | None = None,
) -> Iterator[Path]:
    """The path of a file below ``directory``, in a file system that is this user's; reading it can be held up.

    What the kernel asks the file system is appended to ``asked``: each time anew, since nothing may be kept.
    """
    device = _mounted(directory, uid)
    _serve_one(device, content, None, asked)  # the kernel's own first question, which does not wait for anyone
    thread = threading.Thread(target=_serve, args=(device, content, may_read, asked))
    thread.start()
    try:
        yield directory / NAME.decode()
    finally:
        if may_read:
            may_read.set()
        _LIBC.umount2(os.fsencode(directory), _DETACH)
        thread.join()
        os.close(device)


@contextmanager
def silent_place(place: Path, uid: int) -> Iterator[None]:
    """Have a directory or file be a file system of this user's, whose program takes each question and never answers.

    Not even a signal ends who asks: the kernel waits for the answer to a question that was taken.
    """
    device = _mounted(place, uid)
    _serve_one(device, b"", None, None)
    server = os.fork()
    if server == 0:
        try:
            while True:
                os.read(device, _LARGEST_QUESTION)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        os.close(device)  # nobody has it any more: who waits hears that there is no answer
        _LIBC.umount2(os.fsencode(place), _DETACH)


def _mounted(place: Path, uid: int) -> int:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    kind = stat.S_IFMT(place.lstat().st_mode)
    options = f"fd={device},rootmode={kind:o},user_id={uid},group_id={uid},allow_other"
    if _LIBC.mount(b"served", os.fsencode(place), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    return device


def _serve(device: int, content: bytes, may_read: threading.Event | None, asked: list[int] | None) -> None:
    with suppress(OSError):  # unmounted
        while True:
            _serve_one(device, content, may_read, asked)


def _serve_one(device: int, content: bytes, may_read: threading.Event | None, asked: list[int] | None) -> None:
    request = os.read(device, _LARGEST_QUESTION)
    _, operation, unique, node = _HEAD.unpack_from(request)
    if operation in {_FORGET, _FORGET_MANY}:
        return
    if asked is not None:
        asked.append(operation)
    answer = _answer(operation, node, request[_HEAD.size :], content)
    if operation == _READ and may_read:
        may_read.wait(_LONGEST_READ)
    error, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
    with suppress(FileNotFoundError):  # who asked is gone
        os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def _answer(operation: int, node: int, body: bytes, content: bytes) -> bytes | int:
    if operation == _INIT:
        return struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 4, 4, 65536, 1, 16, 0, 0)
    if operation == _LOOKUP:
        return struct.pack("<QQQQII", _FILE, 0, 1, 0, 0, 0) + _attributes(_FILE, content)
    if operation == _GETATTR:
        return struct.pack("<QII", 0, 0, 0) + _attributes(node, content)
    if operation == _OPEN:
        return struct.pack("<QII", 0, 0, 0)
    if operation == _READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        return content[offset : offset + size]
    return b"" if operation in {_RELEASE, _FLUSH} else errno.ENOSYS


def _attributes(node: int, content: bytes) -> bytes:
    mode = stat.S_IFDIR | 0o755 if node == _ROOT else stat.S_IFREG | 0o755
    size = 0 if node == _ROOT else len(content)
    return struct.pack("<QQQQQQIIIIIIIIII", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
