"""The last line of a trace, by which it is complete, without reading the rest."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import zlib
from typing import TYPE_CHECKING, BinaryIO

from datacrumbs.trace.footer import FOOTER

if TYPE_CHECKING:
    from pathlib import Path

_TAIL = 1 << 20
_EXPANDED = 16 << 20
"""Bytes in all that are inflated in search of the line: what looks like the beginning of a member may be none, or one
of a file that is made to take long."""
_LONGEST_LINE = 1 << 16
_MEMBER = b"\x1f\x8b\x08"
_GZIP = 31


def footer_of(path: Path) -> dict[str, int] | None:
    """The totals of a trace's footer; None for one that is being written, was cut short, or is none of ours.

    Raises:
        OSError: When it cannot be read.
    """
    with _opened(path) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        stream.seek(max(status.st_size - _TAIL, 0))
        tail = stream.read(_TAIL)
    left = _EXPANDED
    place = tail.rfind(_MEMBER)
    while place >= 0 and left > 0:
        inflater = zlib.decompressobj(_GZIP)
        try:
            text = inflater.decompress(tail[place:], left)
        except zlib.error:  # these bytes were part of what is compressed
            text = b""
        # Reading counts, too: each place is at most as much work as what is behind it.
        left -= len(text) + len(tail) - place
        if inflater.eof and not inflater.unused_data:
            return _footer(text.rstrip(b",]\n ").rpartition(b"\n")[2])
        place = tail.rfind(_MEMBER, 0, place)
    return None


def is_being_written(path: Path) -> bool:
    """Whether a process that writes it has a trace open; unknown, and False, where its file system has no locks.

    Raises:
        OSError: When it cannot be read.
    """
    with _opened(path) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _footer(line: bytes) -> dict[str, int] | None:
    try:
        document = json.loads(line) if len(line) <= _LONGEST_LINE else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("name") != FOOTER or not isinstance(document.get("args"), dict):
        return None
    return {key: value for key, value in document["args"].items() if isinstance(value, int)}
