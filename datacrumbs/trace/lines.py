"""Call records to gzip members of lines, by the library that ``src`` is the source of."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_int, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.installed import LIBRARIES, installed
from datacrumbs.model.layouts import LINES_LAYOUT, MISSING, RECORD, SUMS, TALLY_ROW

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.trace.templates import Templates

try:
    from isal.isal_zlib import crc32  # several times as fast
except ImportError:
    from zlib import crc32

LIBRARY = LIBRARIES / "libdatacrumbs_trace.so"


class Lines:
    """The member that is being made. Calls release the interpreter's lock.

    Args:
        functions: How many there are; `function` gives their templates when they are missing.
        epoch_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC, in ns.
        filtering: Whether calls on files that are not included are left out.
    """

    def __init__(self, functions: int, epoch_offset_ns: int, *, filtering: bool) -> None:
        self.written: NDArray[np.int64] = np.zeros(functions, dtype=np.int64)
        """Per function: lines made; the reader of it may set it back."""
        self.filtered: NDArray[np.int64] = np.zeros(functions, dtype=np.int64)
        """Per function: calls left out."""
        layout = np.zeros(1, LINES_LAYOUT)
        counts = (self.written.ctypes.data, self.filtered.ctypes.data)
        layout[0] = (functions, *counts, epoch_offset_ns, filtering)
        self._library = load_library()
        self._lines = self._library.dc_lines_new(layout.ctypes.data)
        if not self._lines:
            raise MemoryError("no memory for the lines of a trace")
        self._missing = np.zeros(4096, MISSING)
        self._calls: NDArray[np.void] = np.zeros(0, RECORD)

    def __del__(self) -> None:
        if getattr(self, "_lines", None):
            self._library.dc_lines_free(self._lines)

    @property
    def count(self) -> int:
        """Lines of calls made so far; the next one has this number."""
        return int(self._library.dc_lines_count(self._lines))

    @property
    def size(self) -> int:
        """Bytes of text in the member."""
        return int(self._library.dc_lines_size(self._lines))

    def function(self, number: int, templates: Templates) -> None:
        """Tell what the lines of a function are made of."""
        ops, starts, texts = templates.ops, templates.starts, templates.texts
        where = (ops.ctypes.data, starts.ctypes.data, texts, len(texts))
        if self._library.dc_lines_function(self._lines, number, *where):
            raise MemoryError("no memory for the lines of a trace")

    def name(self, identity: int, number: int, *, included: bool) -> None:
        """Give the hash of a name, whose line is in the file."""
        if self._library.dc_lines_name(self._lines, identity, number, included):
            raise MemoryError("no memory for the names of a trace")

    def renew(self) -> None:
        """Another file begins, without names and processes."""
        self._library.dc_lines_renew(self._lines)

    def forget_processes(self) -> None:
        """A process ended: its number may become another's."""
        self._library.dc_lines_forget(self._lines)

    def missing(self, calls: NDArray[np.void]) -> NDArray[np.void]:
        """What is missing before these calls can be taken, some of it twice; to be asked until nothing is.

        Args:
            calls: (n,) contiguous records, n up to CHUNK.

        Raises:
            ValueError: A record is of no function.
        """
        count = self._library.dc_lines_missing(
            self._lines, calls.ctypes.data, len(calls), self._missing.ctypes.data, len(self._missing)
        )
        if count == -2:
            raise MemoryError("no memory for the processes of a trace")
        if count < 0:
            raise ValueError("a record of a function that is not in the plan")
        return self._missing[:count]

    def take(self, calls: NDArray[np.void]) -> None:
        """Take calls, of which nothing is missing, to be rendered next."""
        self._calls = calls  # the library does not copy them
        self._library.dc_lines_take(self._lines, calls.ctypes.data, len(calls))

    def render(self) -> bool:
        """Render what was taken.

        Returns:
            Whether all is rendered; if not, the member is full.
        """
        return self._checked(self._library.dc_lines_render(self._lines))

    def text(self, text: bytes) -> bool:
        """Take whole lines of text, up to TEXT_LIMIT bytes.

        Returns:
            Whether there was room for them; if not, the member is full.
        """
        return self._checked(self._library.dc_lines_text(self._lines, text, len(text)))

    def member(self) -> bytes:
        """End the member: a gzip member of its own. The next one begins."""
        size = self.size
        address = self._library.dc_lines_content(self._lines)
        check = crc32((c_uint8 * size).from_address(address)) if size else 0
        place = c_void_p()
        taken = self._library.dc_lines_finish(self._lines, check, ctypes.byref(place))
        self._checked(min(taken, 0))
        member = ctypes.string_at(place, taken)
        self._library.dc_lines_begin(self._lines)
        return member

    def content(self) -> bytes:
        """The text of the member so far."""
        return ctypes.string_at(self._library.dc_lines_content(self._lines), self.size)

    def sums(self, function: int, nested: bool) -> np.void | None:
        """A SUMS row of a function's calls so far, of outermost ones or of those inside others of their layer."""
        place = self._library.dc_lines_sums(self._lines, function, nested)
        return np.frombuffer(ctypes.string_at(place, SUMS.itemsize), SUMS)[0] if place else None

    def tally(self) -> NDArray[np.void]:
        """TALLY_ROW: all calls so far by process, function and file, those of long ago together.

        What is given is the library's, until more calls are taken.
        """
        count = c_uint64()
        place = self._library.dc_tally_rows(self._lines, ctypes.byref(count))
        if not place:
            return np.zeros(0, TALLY_ROW)
        rows = (c_uint8 * (count.value * TALLY_ROW.itemsize)).from_address(place)
        return np.frombuffer(memoryview(rows), TALLY_ROW)

    def add_to_tally(self, rows: NDArray[np.void]) -> None:
        """Add TALLY_ROW rows of calls that have no lines of their own."""
        self._library.dc_tally_merge(self._lines, rows.ctypes.data, len(rows))

    def mark_tally(self) -> None:
        """From now on, the figures so far are those of before."""
        self._library.dc_tally_mark(self._lines)

    def _checked(self, result: int) -> bool:
        if result < 0:  # not to be seen: the room is computed for the worst case
            raise AssertionError("compressed lines do not fit")
        return result == 0


@cache
def load_library() -> ctypes.CDLL:
    """The library, loaded once; a process that will give up the right to read it loads it before."""
    library = ctypes.CDLL(str(installed("data", LIBRARY)))
    lines = reader = names = c_void_p
    for name, result, arguments in (
        ("tally_rows", c_void_p, [lines, POINTER(c_uint64)]),
        ("tally_merge", None, [lines, c_void_p, c_uint64]),
        ("tally_mark", None, [lines]),
        ("lines_new", lines, [c_void_p]),
        ("lines_free", None, [lines]),
        ("lines_function", c_int, [lines, c_uint64, c_void_p, c_void_p, ctypes.c_char_p, c_uint64]),
        ("lines_name", c_int, [lines, c_uint64, c_uint64, c_int]),
        ("lines_renew", None, [lines]),
        ("lines_forget", None, [lines]),
        ("lines_missing", c_int64, [lines, c_void_p, c_uint64, c_void_p, c_uint64]),
        ("lines_take", None, [lines, c_void_p, c_uint64]),
        ("lines_render", c_int, [lines]),
        ("lines_text", c_int, [lines, ctypes.c_char_p, c_uint64]),
        ("lines_size", c_uint64, [lines]),
        ("lines_count", c_uint64, [lines]),
        ("lines_content", c_void_p, [lines]),
        ("lines_finish", c_int64, [lines, c_uint32, POINTER(c_void_p)]),
        ("lines_begin", None, [lines]),
        ("lines_sums", c_void_p, [lines, c_uint64, c_int]),
        ("reader_new", reader, []),
        ("reader_free", None, [reader]),
        ("reader_read", c_int, [reader, c_void_p, c_uint64, c_void_p]),
        ("reader_texts", c_uint64, [reader, c_int, c_uint32, POINTER(c_void_p)]),
        ("file_names_new", names, []),
        ("file_names_free", None, [names]),
        ("file_names_take", c_int, [names, ctypes.c_char_p, c_uint64, *[c_void_p] * 4]),
    ):
        function = getattr(library, f"dc_{name}")
        function.restype, function.argtypes = result, arguments
    return library
