"""The identity of an ELF file's content: its GNU build-id, else a digest of the whole file."""

from __future__ import annotations

import hashlib
import os
import struct
from typing import TYPE_CHECKING

from elftools.common.exceptions import DWARFError, ELFError
from elftools.common.utils import struct_parse
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

SEGMENT_LIMIT = 256
NOTE_LIMIT = 1 << 20
FILE_LIMIT = 8 << 30
NT_GNU_BUILD_ID = 3

# What pyelftools lets through when a file lies about its own layout.
ELF_PROBLEMS = (
    ELFError,
    DWARFError,
    ConstructError,
    struct.error,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    AssertionError,
    OverflowError,
    MemoryError,
    OSError,  # a seek to where no file can reach; a disk's own error shows again in the digest
)


def file_build_id(path: Path | str) -> str:
    """The identity of a file's content, as `Target.build_id` has it.

    Args:
        path: The file; a symbolic link is followed.

    Returns:
        Lower-case hex of the GNU build-id, or ``sha256:<hex>`` of the file when it has none.

    Raises:
        DatacrumbsError: When the file cannot be read or is no regular file.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as stream:
        return stream_build_id(stream, str(path))


def stream_build_id(stream: BufferedReader, name: str) -> str:
    """`file_build_id` of a file that is already open, so that nobody can swap it in between.

    Args:
        stream: Opened for reading; its position is changed.
        name: How messages call the file.
    """
    try:
        size = os.fstat(stream.fileno()).st_size
        if size > FILE_LIMIT:
            raise DatacrumbsError(f"{name}: {size} bytes; expected a file of at most {FILE_LIMIT} bytes")
        return gnu_build_id(stream) or _content_digest(stream)
    except OSError as error:
        raise DatacrumbsError(f"{name}: cannot be read: {error.strerror}") from None


def _content_digest(stream: BufferedReader) -> str:
    stream.seek(0)
    return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def gnu_build_id(stream: BufferedReader) -> str:
    """The GNU build-id of an open file in lower-case hex, or empty; a few reads, whatever the file's size."""
    try:
        stream.seek(0)
        elf = ELFFile(stream)
        order = "<" if elf.little_endian else ">"
        for index in range(min(elf.num_segments(), SEGMENT_LIMIT)):
            # Not as a segment: pyelftools reads the tables behind some of them.
            header = struct_parse(elf.structs.Elf_Phdr, stream, elf["e_phoff"] + index * elf["e_phentsize"])
            if header.p_type == "PT_NOTE" and 0 < header.p_filesz <= NOTE_LIMIT:
                stream.seek(header.p_offset)
                for owner, kind, content in _notes(stream.read(header.p_filesz), order, header.p_align):
                    if owner == b"GNU\0" and kind == NT_GNU_BUILD_ID and 4 <= len(content) <= 64:
                        return content.hex()
    except ELF_PROBLEMS:
        return ""
    return ""


# (owner, type, content) of each note; stops at the first one that does not fit.
def _notes(data: bytes, order: str, alignment: int) -> Iterator[tuple[bytes, int, bytes]]:
    step = 8 if alignment == 8 else 4
    position = 0
    while position + 12 <= len(data):
        name_size, content_size, kind = struct.unpack_from(f"{order}III", data, position)
        content_start = _rounded(position + 12 + name_size, step)
        if content_start + content_size > len(data):
            return
        yield (
            data[position + 12 : position + 12 + name_size],
            kind,
            data[content_start : content_start + content_size],
        )
        position = _rounded(content_start + content_size, step)


def _rounded(value: int, step: int) -> int:
    return (value + step - 1) // step * step
