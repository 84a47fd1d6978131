"""The last lines of a trace, by which it is complete, without reading the rest."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import zlib
from typing import TYPE_CHECKING, BinaryIO

from datacrumbs.secure.file_systems import locks_are_asked_for
from datacrumbs.trace.footer import FOOTER, PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TAIL = 1 << 20
_EXPANDED = 16 << 20
"""Bytes in all that are inflated in search of the line: what looks like the beginning of a member may be none, or one
of a file that is made to take long."""
_LONGEST_LINE = 1 << 16
_LONGEST_PROVENANCE = 1 << 20
_MEMBER = b"\x1f\x8b\x08"
_GZIP = 31


def footer_of(path: Path) -> dict[str, int] | None:
    """The totals of a trace's footer; None for one that is being written, was cut short, or is none of ours.

    Raises:
        OSError: When it cannot be read.
    """
    return _footer(_last_text(path).rpartition(b"\n")[2])


def provenance_of(path: Path, check: Callable[[BinaryIO], object]) -> dict[str, str]:
    """Where a trace comes from, as the line before its footer says it; empty where `footer_of` gives nothing.

    Args:
        path: The trace.
        check: Called with the open file, before anything of it is read.

    Raises:
        OSError: When it cannot be read.
    """
    before, _, last = _last_text(path, check).rpartition(b"\n")
    found = _named(before.rpartition(b"\n")[2], PROVENANCE, _LONGEST_PROVENANCE) if _footer(last) is not None else None
    return {key: value for key, value in (found or {}).items() if isinstance(value, str)}


# What the last member holds, without the end of the list; empty where the file has no whole one at its end.
def _last_text(path: Path, check: Callable[[BinaryIO], object] = lambda _: None) -> bytes:
    with _opened(path) as stream:
        check(stream)
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            return b""
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
            return text.rstrip(b",]\n ")
        place = tail.rfind(_MEMBER, 0, place)
    return b""


def is_being_written(path: Path) -> bool:
    """Whether a process that writes it has a trace open; unknown, and False, where its file system has no locks, or
    might not answer.

    Raises:
        OSError: When it cannot be read.
    """
    with _opened(path) as stream:
        try:
            if not locks_are_asked_for(stream.fileno()):
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _footer(line: bytes) -> dict[str, int] | None:
    found = _named(line, FOOTER, _LONGEST_LINE)
    return None if found is None else {key: value for key, value in found.items() if isinstance(value, int)}


def _named(line: bytes, name: str, longest: int) -> dict[str, object] | None:
    try:
        document = json.loads(line) if len(line) <= longest else None
    except (ValueError, RecursionError):
        return None
    found = document.get("args") if isinstance(document, dict) and document.get("name") == name else None
    return found if isinstance(found, dict) else None
