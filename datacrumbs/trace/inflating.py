"""The text of gzip members that follow each other, for a time that grows with their bytes, however small they are.

An inflater copies what it was given and has not used. So it is given about twice as much as it has used before.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Text = bytes | memoryview

try:
    from isal import isal_zlib as _inflating
except ImportError:  # of zlib, which has the same methods
    import zlib as _inflating  # type: ignore[no-redef]

FIRST_SLICE = 256
MOST_GATHERED = 1024
"""Texts, of members that have little, that are given together."""
ERRORS: tuple[type[Exception], ...] = (zlib.error, _inflating.error)  # type: ignore[assignment]
"""What damaged members raise."""
GZIP = 31
"""The window of gzip members (zlib's ``wbits``)."""


class Members:
    """Gzip members that follow each other.

    Args:
        data: Their first bytes, or all.
        largest_slice: Most bytes that an inflater is given at once.
        most_text: Most bytes of text that come of them at once.
        least_text: Bytes of text that are gathered, where members have less; 0 for each text as it comes.
        more: Gives what follows, which is empty at the end.

    Attributes:
        is_whole: While and after the texts are iterated over: whether the last member has come to its end.
        has_text: Whether the last member has had text.
    """

    def __init__(
        self, data: Text, largest_slice: int, most_text: int, least_text: int, more: Callable[[], bytes] = bytes
    ) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._largest = largest_slice
        self._most_text, self._least_text = most_text, least_text
        self._more = more
        self.is_whole = True
        self.has_text = True

    def texts(self, is_member: Callable[[bytes], bool] = bool) -> Iterator[bytes]:
        """The text of the members, in parts of some bytes.

        Args:
            is_member: Whether what begins with these bytes, two unless the data end, is to be read.

        Raises:
            Exception: One of `ERRORS`.
        """
        gathered: list[bytes] = []
        size = 0
        try:
            for text in self._inflated(is_member):
                is_large = len(text) >= self._least_text
                if gathered and (is_large or size >= self._least_text or len(gathered) >= MOST_GATHERED):
                    yield b"".join(gathered)
                    gathered, size = [], 0
                if is_large:
                    yield text
                else:
                    gathered.append(text)
                    size += len(text)
        except ERRORS:
            if gathered:  # what precedes the damage
                yield b"".join(gathered)
            raise
        if gathered:
            yield b"".join(gathered)

    def _inflated(self, is_member: Callable[[bytes], bool]) -> Iterator[bytes]:
        taken = self._largest  # by the member before
        while is_member(self._first_two()):
            self.is_whole = self.has_text = False
            inflater = _inflating.decompressobj(wbits=GZIP)
            given, size = 0, self._slice(taken)
            while not inflater.eof:
                data = self._next(size)
                text = inflater.decompress(data, self._most_text)
                used = len(data) - len(inflater.unused_data if inflater.eof else inflater.unconsumed_tail)
                self._at -= len(data) - used
                given += used
                if text:
                    self.has_text = True
                    yield text
                elif not data:
                    return
                size = self._slice(used)
            self.is_whole, taken = True, given

    def _slice(self, used: int) -> int:
        return min(max(2 * used, FIRST_SLICE), self._largest)

    def _first_two(self) -> bytes:
        if len(self._data) - self._at < 2:
            self._data, self._at = memoryview(bytes(self._data[self._at :]) + self._more()), 0
        return bytes(self._data[self._at : self._at + 2])

    def _next(self, size: int) -> memoryview:
        if self._at >= len(self._data):
            self._data, self._at = memoryview(self._more()), 0
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data
