"""Compression of a trace: each call of `Compressor.member` gives one gzip member that stands alone."""

from __future__ import annotations

import gzip
from typing import Protocol

MEMBER_TARGET = 2 << 20
MEMBER_LIMIT = 4 << 20
"""Bytes of text in a member: readers index by member, so neither tiny nor huge ones."""


class Compressor(Protocol):
    """What the writer needs; a thread or a process can stand behind it."""

    def member(self, text: bytes) -> bytes:
        """One complete gzip member of ``text``."""


class ZlibCompressor:
    """The standard library's gzip at its fastest level."""

    def member(self, text: bytes) -> bytes:
        """One complete gzip member of ``text``."""
        return gzip.compress(text, compresslevel=1, mtime=0)


class IsalCompressor:
    """ISA-L's gzip, about three times as fast for the same size."""

    def __init__(self) -> None:
        from isal import igzip  # noqa: PLC0415 - not on every architecture; the choice falls in default_compressor

        self._compress = igzip.compress

    def member(self, text: bytes) -> bytes:
        """One complete gzip member of ``text``."""
        return bytes(self._compress(text, compresslevel=1, mtime=0))


def default_compressor() -> Compressor:
    """The fastest compressor that is installed."""
    try:
        return IsalCompressor()
    except ImportError:
        return ZlibCompressor()
