"""The file of a trace as its writer has it: whole gzip members, one after the other."""

from __future__ import annotations

from typing import BinaryIO


class MemberFile:
    """A file that members are put into.

    Args:
        stream: Where to; written and flushed once per member, not closed.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = 0
        """Bytes of whole members."""
        self._seekable = stream.seekable()
        self._start = stream.tell() if self._seekable else 0

    def put(self, member: bytes) -> None:
        """Write a member.

        Raises:
            OSError: It is not whole in the file.
        """
        rest = memoryview(member)
        size = len(rest)
        while rest:  # an unbuffered stream may take a part only
            rest = rest[self.stream.write(rest) :]
        self.stream.flush()
        self.size += size

    def cut_back(self) -> bool:
        """Cut a torn member off; gives whether that was possible. What precedes it is readable in any case."""
        if not self._seekable:
            return False
        try:
            self.stream.truncate(self._start + self.size)
            self.stream.seek(self._start + self.size)
        except OSError:
            return False
        return True
