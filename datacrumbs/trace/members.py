"""The text of a gzip trace, in chunks of whole lines, as far as it goes."""

from __future__ import annotations

import os
import stat
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.trace.inflating import ERRORS, Members

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path
    from typing import BinaryIO

    Text = bytes | memoryview

Made = TypeVar("Made")

READ_SIZE = 1 << 20
CHUNK_SIZE = 16 << 20
LONGEST_LINE = 64 << 20
GZIP_MAGIC = b"\x1f\x8b"
MEMBER_START = b"\x1f\x8b\x08" + bytes(5)
"""How a gzip member of a writer of streams begins: it knows neither a file's name nor its time."""
PIECE_SIZE = 1 << 20
"""Bytes of whole members that one thread decompresses; their text is about fifteen times as long."""
SLICE_SIZE = 64 << 10
"""Bytes of a piece that are decompressed at once: their text is read while it is in the processor's cache."""
LONGEST_PIECE, PIECE_TEXT = 8 << 20, 96 << 20
MOST_THREADS = 8
"""Each has a piece in memory, and what is made of it."""


class TraceText:
    """Reads one file; whole lines come out even where the file was cut inside a member.

    Args:
        path: The trace.
        passed: `worked` calls it with how many more bytes of the file it has read.

    Attributes:
        damage: After reading: what is wrong with the compressed file, or empty.
        behind: After reading: whether bytes that hold no text follow the last gzip member.
        start: After reading: the first byte of the text, or empty.
    """

    def __init__(self, path: Path, passed: Callable[[int], object] = lambda _: None) -> None:
        self.path = path
        self._passed = passed
        self.damage = ""
        self.behind = False
        self.start = b""

    def chunks(self, check: Callable[[BinaryIO], object] = lambda _: None) -> Iterator[bytes]:
        """Pieces of about CHUNK_SIZE bytes, each ending at a line's end.

        Args:
            check: Called with the open file, before anything is decompressed.

        Raises:
            DatacrumbsError: (exit 2) when there is no such file, or it is empty, no regular file or no gzip file.
        """
        with open_trace(self.path) as stream:
            check(stream)
            yield from self._chunks(stream)

    def worked(self, work: Callable[[Iterable[Text]], Made]) -> Iterator[Made]:
        """What ``work`` makes of each piece of whole lines, in their order; some of it is done ahead, by threads.

        Several pieces of whole gzip members are decompressed at once, where members begin as our writer's do.

        Args:
            work: Takes texts of whole lines that follow each other, of up to PIECE_TEXT bytes together, as often as it
                iterates over them; in several threads at once.

        Raises:
            DatacrumbsError: As `chunks`.
        """
        threads = min(len(os.sched_getaffinity(0)), MOST_THREADS)
        with open_trace(self.path) as stream, ThreadPoolExecutor(threads) as pool:
            try:
                place = yield from self._by_members(stream, pool, threads, work)
                if place is not None:
                    stream.seek(place)
                    yield from self._in_order(stream, pool, threads, work)
            finally:
                pool.shutdown(cancel_futures=True)

    # Until the end, or to the first piece that is not of whole members: its place is returned.
    def _by_members(
        self, stream: BinaryIO, pool: ThreadPoolExecutor, threads: int, work: Callable[[Iterable[Text]], Made]
    ) -> Generator[Made, None, int | None]:
        waiting: deque[tuple[int, int, Future[tuple[bytes, Made] | None]]] = deque()
        place = 0
        try:
            pieces = _pieces(self.path, stream)
            more = True
            while more or waiting:
                while more and len(waiting) <= threads:
                    piece = next(pieces, None)
                    more = piece is not None
                    if piece is not None:
                        waiting.append((place, len(piece), pool.submit(_work_on_piece, piece, work)))
                        place += len(piece)
                if waiting:
                    begin, size, future = waiting.popleft()
                    done = future.result()
                    if done is None:
                        return begin
                    self.start = self.start or done[0]
                    self._passed(size)
                    yield done[1]
        finally:
            for _, _, future in waiting:
                future.cancel()
        return None

    def _in_order(
        self, stream: BinaryIO, pool: ThreadPoolExecutor, threads: int, work: Callable[[Iterable[Text]], Made]
    ) -> Iterator[Made]:
        waiting: deque[Future[Made]] = deque()
        place = stream.tell()
        for chunk in self._chunks(stream):
            self._passed(stream.tell() - place)
            place = stream.tell()
            waiting.append(pool.submit(work, [chunk]))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _chunks(self, stream: BinaryIO) -> Iterator[bytes]:
        gathered: list[bytes] = []
        size = 0
        for text in self._texts(stream):
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

    def _texts(self, stream: BinaryIO) -> Iterator[bytes]:
        members = Members(b"", READ_SIZE, CHUNK_SIZE, SLICE_SIZE, lambda: stream.read(READ_SIZE))
        rest = b""

        def is_member(data: bytes) -> bool:
            nonlocal rest
            rest = data
            return data == GZIP_MAGIC

        try:
            yield from members.texts(is_member)
            self.damage = "" if members.is_whole else "cut inside a gzip member"
            self.behind = not members.has_text if not members.is_whole else bool(rest)
        except ERRORS as error:
            self.damage = f"damaged: {error}"
            self.behind = not members.has_text
        except OSError as error:
            raise _unreadable(self.path, error) from None


# Without O_NONBLOCK, opening a FIFO waits for somebody who writes into it.
def open_trace(path: Path) -> BinaryIO:
    """Open a trace, compressed as it is; a FIFO is not waited for.

    Raises:
        DatacrumbsError: It cannot be read, is no regular file, or does not begin as a trace does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise usage_error(f"{path}: cannot be read: {error.strerror}") from None
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise usage_error(f"{path}: not a regular file; expected a trace (.pfw.gz)")
    try:
        _check_start(path, stream.read(len(GZIP_MAGIC)))
        stream.seek(0)
    except BaseException as error:
        stream.close()
        if isinstance(error, OSError):
            raise _unreadable(path, error) from None
        raise
    return stream


def first_text(path: Path, size: int) -> bytes:
    """The beginning of a trace's text, of its first READ_SIZE bytes at most, as far as it is readable.

    Args:
        path: The trace.
        size: Most bytes of text.

    Raises:
        DatacrumbsError: As `open_trace`.
    """
    found = b""
    with open_trace(path) as stream:
        try:
            for text in Members(stream.read(READ_SIZE), SLICE_SIZE, size, size).texts():
                found += text
                if len(found) >= size:
                    break
        except ERRORS:
            pass
        except OSError as error:
            raise _unreadable(path, error) from None
    return found[:size]


def _unreadable(path: Path, error: OSError) -> DatacrumbsError:
    return DatacrumbsError(f"{path}: cannot be read: {error.strerror or error}")


# Pieces of a file, from one place where a member may begin to another.
def _pieces(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    held = b""
    try:
        while len(held) < LONGEST_PIECE and (data := stream.read(PIECE_SIZE)):
            held += data
            end = held.find(MEMBER_START, PIECE_SIZE)
            if end > 0:
                yield held[:end]
                held = held[end:]
    except OSError as error:
        raise _unreadable(path, error) from None
    if held:
        yield held


class _PieceTexts:
    # The text of a piece, a slice at a time; a line that is in several slices comes by itself. Raises zlib.error where
    # the piece is not of whole members and lines.
    def __init__(self, piece: bytes) -> None:
        self._piece = piece
        self.start = b""

    def __iter__(self) -> Iterator[Text]:
        held, room = list[bytes](), PIECE_TEXT
        for text in self._slices():
            self.start = self.start or text[:1]
            room -= len(text)
            if room <= 0:
                raise zlib.error("more text than a piece can have")
            first, last = (text.find(b"\n") + 1 if held else 0), text.rfind(b"\n") + 1
            if not last:
                held.append(text)
                continue
            if held:
                yield b"".join([*held, text[:first]])
            if first < last:
                yield memoryview(text)[first:last]
            held = [text[last:]] if last < len(text) else []
        if any(held) or not self.start:
            raise zlib.error("no end of a line")

    def _slices(self) -> Iterator[bytes]:
        members = Members(self._piece, SLICE_SIZE, PIECE_TEXT, SLICE_SIZE)
        yield from members.texts()
        if not members.is_whole:
            raise zlib.error("no end of a member")


# What `work` makes of a piece, and its first byte of text; None where it is not of whole members and lines.
def _work_on_piece(piece: bytes, work: Callable[[Iterable[Text]], Made]) -> tuple[bytes, Made] | None:
    texts = _PieceTexts(piece)
    try:
        made = work(texts)
    except ERRORS:
        return None
    return texts.start, made


def _check_start(path: Path, data: bytes) -> None:
    if not data:
        raise usage_error(f"{path}: empty; expected a trace (.pfw.gz)")
    if not data.startswith(GZIP_MAGIC):
        raise usage_error(f"{path}: not a gzip file; expected a trace (.pfw.gz)")
