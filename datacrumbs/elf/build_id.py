"""The identity of an ELF file's content: its GNU build-id, else a digest of the whole file."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.cache import inspected_files
from datacrumbs.elf.file import ELF_PROBLEMS, Elf
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

FILE_LIMIT = 8 << 30
NT_GNU_BUILD_ID = 3


def file_build_id(path: Path | str) -> str:
    """The identity of a file's content, as `Target.build_id` has it.

    Args:
        path: The file; a symbolic link is followed.

    Returns:
        Lower-case hex of the GNU build-id, or ``sha256:<hex>`` of the file when it has none.

    Raises:
        DatacrumbsError: When the file cannot be read or is not a regular file.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as stream:
        return stream_build_id(stream, str(path))


def file_state(path: Path) -> list[object] | None:
    """What identifies a file's content; None when that cannot be known, or the file changed just now.

    The build-id is not enough: anyone can make a file with any build-id. Only root can set the time of a change back.
    """
    with suppress(OSError, RuntimeError, DatacrumbsError):
        real = path.resolve(strict=True)
        status = real.stat()
        if abs(time.time() - status.st_ctime) < inspected_files.SETTLED_SECONDS:
            return None
        numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return [str(real), file_build_id(real), *numbers]
    return None


def stream_build_id(stream: BufferedReader, name: str) -> str:
    """`file_build_id` of a file that is already open, so that it cannot be swapped in between.

    Args:
        stream: Opened for reading; its position is changed.
        name: How messages call the file.
    """
    try:
        size = os.fstat(stream.fileno()).st_size
        if size > FILE_LIMIT:
            raise DatacrumbsError(f"{name}: {size} bytes; expected a file of at most {FILE_LIMIT} bytes")
        if found := gnu_build_id(stream):
            return found
        stream.seek(0)
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError as error:
        raise DatacrumbsError(f"{name}: cannot be read: {error.strerror}") from None


def gnu_build_id(stream: BufferedReader) -> str:
    """The GNU build-id of an open file in lower-case hex, or empty; a few reads, whatever the file's size."""
    try:
        for note in Elf(stream).notes():
            if note.owner == b"GNU\0" and note.kind == NT_GNU_BUILD_ID and 4 <= len(note.content) <= 64:
                return note.content.hex()
    except ELF_PROBLEMS:
        return ""
    return ""
