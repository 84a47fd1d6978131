"""The text of a gzip trace, in chunks of whole lines, as far as it goes."""

from __future__ import annotations

import os
import stat
import zlib
from typing import TYPE_CHECKING, Protocol

from datacrumbs.errors import DatacrumbsError, usage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

READ_SIZE = 1 << 20
CHUNK_SIZE = 16 << 20
LONGEST_LINE = 64 << 20
GZIP_MAGIC = b"\x1f\x8b"


class _Inflater(Protocol):
    # What zlib's and isal's decompression objects have in common.
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


class TraceText:
    """Reads one file; whole lines come out even where the file was cut inside a member.

    Args:
        path: The trace.

    Attributes:
        damage: After reading: what is wrong with the compressed file, or empty.
        behind: After reading: whether bytes that hold no text follow the last gzip member.
        start: After reading: the first byte of the text, or empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        self.behind = False
        self.start = b""

    def chunks(self) -> Iterator[bytes]:
        """Pieces of about CHUNK_SIZE bytes, each ending at a line's end.

        Raises:
            DatacrumbsError: (exit 2) when there is no such file, or it is empty, no regular file or no gzip file.
        """
        gathered: list[bytes] = []
        size = 0
        for text in self._texts():
            self.start = self.start or text[:1]
            gathered.append(text)
            size += len(text)
            if size >= CHUNK_SIZE:
                lines, newline, rest = b"".join(gathered).rpartition(b"\n")
                gathered, size = [rest], len(rest)
                if newline:
                    yield lines + newline
                elif size > LONGEST_LINE:
                    raise usage_error(f"{self.path}: a line of more than {LONGEST_LINE >> 20} MiB; expected a trace")
        lines, newline, rest = b"".join(gathered).rpartition(b"\n")
        if rest.strip() == b"]":  # other writers end without a newline
            lines, newline, rest = b"\n".join([lines, rest]) if newline else rest, b"\n", b""
        if rest:
            self.damage = self.damage or "the last line is incomplete"
        if newline:
            yield lines + newline

    def _texts(self) -> Iterator[bytes]:
        with _open_regular(self.path) as stream:
            try:
                data = stream.read(READ_SIZE)
                _check_start(self.path, data)
                while data:
                    inflater = _new_inflater()
                    self.behind = True  # until it gives text
                    while not inflater.eof:
                        text = inflater.decompress(data, CHUNK_SIZE)
                        self.behind = self.behind and not text
                        yield text
                        data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                        if not (data or inflater.eof):
                            data = stream.read(READ_SIZE)
                            if not (data or text):
                                break
                    if not inflater.eof:
                        self.damage = "cut inside a gzip member"
                    elif not data:
                        self.behind = False
                    data = data if len(data) > 1 else data + stream.read(READ_SIZE)
                    if data and not data.startswith(GZIP_MAGIC):
                        self.behind = True
                        return
            except _ERRORS as error:
                self.damage = f"damaged: {error}"
            except OSError as error:
                raise DatacrumbsError(f"{self.path}: cannot be read: {error.strerror or error}") from None


# Without O_NONBLOCK, opening a FIFO waits for somebody who writes into it.
def _open_regular(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise usage_error(f"{path}: cannot be read: {error.strerror}") from None
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise usage_error(f"{path}: not a regular file; expected a trace (.pfw.gz)")
    return stream


def _check_start(path: Path, data: bytes) -> None:
    if not data:
        raise usage_error(f"{path}: empty; expected a trace (.pfw.gz)")
    if not data.startswith(GZIP_MAGIC):
        raise usage_error(f"{path}: not a gzip file; expected a trace (.pfw.gz)")


try:
    from isal import isal_zlib as _inflating
except ImportError:
    import zlib as _inflating  # type: ignore[no-redef]

_ERRORS: tuple[type[Exception], ...] = (zlib.error, _inflating.error)  # type: ignore[assignment]


def _new_inflater() -> _Inflater:
    return _inflating.decompressobj(wbits=31)
