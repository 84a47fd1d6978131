"""The text of a gzip trace, in chunks of whole lines, as far as it goes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

from datacrumbs.errors import DatacrumbsError, usage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
        start: After reading: the first byte of the text, or empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        self.start = b""

    def chunks(self) -> Iterator[bytes]:
        """Pieces of about CHUNK_SIZE bytes, each ending at a line's end.

        Raises:
            DatacrumbsError: (exit 2) when there is no such file, or it is empty or no gzip file.
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
            self.damage = self.damage or "the last line is not whole"
        if newline:
            yield lines + newline

    def _texts(self) -> Iterator[bytes]:
        try:
            stream = self.path.open("rb")
        except OSError as error:
            raise usage_error(f"{self.path}: cannot be read: {error.strerror}") from None
        with stream:
            try:
                data = stream.read(READ_SIZE)
                _check_start(self.path, data)
                while data:
                    inflater = _new_inflater()
                    while not inflater.eof:
                        text = inflater.decompress(data, CHUNK_SIZE)
                        yield text
                        data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                        if not (data or inflater.eof):
                            data = stream.read(READ_SIZE)
                            if not (data or text):
                                break
                    if not inflater.eof:
                        self.damage = "cut inside a gzip member"
                    data = data or stream.read(READ_SIZE)
            except _ERRORS as error:
                self.damage = f"damaged: {error}"
            except OSError as error:
                raise DatacrumbsError(f"{self.path}: cannot be read: {error.strerror or error}") from None


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
