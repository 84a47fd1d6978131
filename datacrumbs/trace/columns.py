"""Text of a trace to columns of calls, by the library that ``src`` is the source of."""

from __future__ import annotations

import ctypes
import threading
from contextlib import contextmanager
from ctypes import POINTER, c_int, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.model.contract import MOST_DETAILS
from datacrumbs.model.layouts import COLUMNS
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.lines import load_library

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

WORD = pl.Categorical()
NO_NUMBER = -(1 << 63)
DETAILS: dict[str, Any] = {"fd": pl.Int32, "offset": pl.Int64, "count": pl.Int64, "whence": pl.Int8, "flags": pl.Int64}
DETAILS |= dict.fromkeys(("dev", "sector", "nr_sector", "rwbs"), pl.Int64)
"""Arguments that `read_traces` gives as columns where they are asked for, and what of them is kept; in C's order."""
LONGS = ("begin", "duration", "result", "bytes")
INTEGERS = ("process", "thread", "errno", "depth")
WORDS = ("function", "file", "second_file")
SHORTEST_CALL = len('{"name":"","cat":"","ph":"X","pid":0,"tid":0,"ts":0}\n')
_AT_ONCE = threading.Lock()
"""Texts become categories one part at a time."""


@dataclass(frozen=True, slots=True)
class CallPart:
    """Lines that follow each other.

    Attributes:
        calls: Of the lines that are calls, in their order, the columns category, name, symbol, pid, tid, ts, dur, ret,
            errno, bytes, fhash, to_hash and depth, as narrow as their values allow, and those of DETAILS where they are
            wanted; None where some line has a form that only a reader of all of JSON can judge.
        text: The lines that are no calls; all lines where ``calls`` is None.
        end: The last bytes.
    """

    calls: pl.DataFrame | None
    text: bytes
    end: bytes


class Readers:
    """Makes parts, in several threads at once.

    Args:
        details: Whether calls have the columns of DETAILS.
    """

    def __init__(self, *, details: bool = False) -> None:
        self._details = tuple(DETAILS) if details else ()
        self._idle: SimpleQueue[_ColumnReader] = SimpleQueue()

    def part(self, texts: Sequence[bytes]) -> CallPart:
        """Read texts of whole lines."""
        with self._reader() as reader:
            return reader.part(texts)

    @contextmanager
    def _reader(self) -> Iterator[_ColumnReader]:
        try:
            reader = self._idle.get_nowait()
        except Empty:
            reader = _ColumnReader(self._details)
        yield reader
        self._idle.put(reader)


class _ColumnReader:
    # What the library knows of the texts so far, and their categories.
    def __init__(self, details: tuple[str, ...]) -> None:
        self._details = details
        self._library = _library()
        self._reader = self._library.dc_reader_new()
        if not self._reader:
            raise MemoryError("no memory for reading a trace")
        self._room = 0
        nothing = pl.Series([None], dtype=pl.String).cast(WORD)
        self._functions = pl.DataFrame(dict.fromkeys(("category", "name", "symbol"), nothing))
        self._files = nothing

    def __del__(self) -> None:
        if getattr(self, "_reader", None):
            self._library.dc_reader_free(self._reader)

    def part(self, texts: Sequence[bytes]) -> CallPart:
        columns = self._columns(sum(map(len, texts)))
        for text in texts:
            result = self._library.dc_reader_read(self._reader, text, len(text), columns.ctypes.data)
            if result == -2:
                raise MemoryError("no memory for the names of a trace")
            if result or columns["doubtful"][0]:
                return CallPart(None, b"".join(texts), texts[-1][-16:])
        rows = int(columns["rows"][0])
        calls = self._frame({name: array[:rows] for name, array in self._arrays.items()})
        more = zip(self._details, self._more, strict=True)
        calls = calls.with_columns(_detail(name, numbers[:rows]) for name, numbers in more)
        return CallPart(calls, self._others[: int(columns["other_size"][0])].tobytes(), texts[-1][-16:])

    # Room for all that a text of a size can have; it is used for one part after the other.
    def _columns(self, size: int) -> NDArray[np.void]:
        room = size // SHORTEST_CALL + 1
        if room > self._room:
            self._room = room = room * 5 // 4
            self._others = np.empty(room * SHORTEST_CALL, np.uint8)
            self._arrays: dict[str, NDArray[np.generic]] = {name: np.empty(room, np.int64) for name in LONGS}
            self._arrays |= {name: np.empty(room, np.int32) for name in INTEGERS}
            self._arrays |= {name: np.empty(room, np.uint32) for name in WORDS}
            self._more = np.empty((MOST_DETAILS if self._details else 0, room), np.int64)
        columns = np.zeros(1, COLUMNS)
        columns["room"], columns["others_room"] = self._room, len(self._others)
        for name, array in (self._arrays | {"others": self._others}).items():
            columns[name] = array.ctypes.data
        if self._details:
            columns["details"] = self._more.ctypes.data
        return columns

    def _frame(self, arrays: dict[str, NDArray[np.generic]]) -> pl.DataFrame:
        self._learn()
        function, file, second = (arrays[name] for name in WORDS)
        return pl.DataFrame(
            [
                *(column.gather(function) for column in self._functions.get_columns()),
                pl.Series("pid", arrays["process"].copy()),
                pl.Series("tid", arrays["thread"].copy()),
                pl.Series("ts", arrays["begin"].copy()),
                _narrow("dur", arrays["duration"]),
                _narrow("ret", arrays["result"], NO_NUMBER),
                _narrow("errno", arrays["errno"], -1),
                _narrow("bytes", arrays["bytes"], NO_NUMBER),
                self._files.gather(file).alias("fhash"),
                self._files.gather(second).alias("to_hash"),
                _narrow("depth", arrays["depth"], -1),
            ]
        )

    # Categories of the texts that are new since the last part.
    def _learn(self) -> None:
        functions, files = self._new(0, len(self._functions)), self._new(1, len(self._files))
        if not (functions or files):
            return
        with _AT_ONCE:
            if functions:
                rows = [(*row.split("\t"), None)[:3] for row in functions]
                names = dict.fromkeys(self._functions.columns, WORD)
                self._functions = pl.concat([self._functions, pl.DataFrame(rows, names, orient="row")])
            if files:
                self._files = self._files.append(pl.Series(files, dtype=pl.String).cast(WORD))

    def _new(self, of_files: int, first: int) -> list[str]:
        place = c_void_p()
        size = self._library.dc_reader_texts(self._reader, of_files, first, ctypes.byref(place))
        return ctypes.string_at(place, size)[:-1].decode("ascii").split("\n") if size else []


# A column in as few bytes as its numbers take; the one that is ``nothing`` becomes null.
def _narrow(name: str, numbers: NDArray[np.generic], nothing: int | None = None) -> pl.Series:
    there = None if nothing is None else numbers != nothing
    known = numbers if there is None else numbers[there]
    if not len(known) and there is not None:
        return pl.Series(name, [None], pl.Int32).new_from_index(0, len(numbers))
    is_wide = len(known) and (known.min() < -(1 << 31) or known.max() >= 1 << 31)
    column = pl.Series(name, numbers.astype(np.int64 if is_wide else np.int32))
    if there is None or len(known) == len(numbers):
        return column
    nulls = pl.Series([None], dtype=column.dtype).new_from_index(0, len(numbers))
    return column.zip_with(pl.Series(there), nulls).alias(name)


def _detail(name: str, numbers: NDArray[np.int64]) -> pl.Series:
    return _narrow(name, numbers, NO_NUMBER).cast(DETAILS[name], strict=False)


@cache
def _library() -> ctypes.CDLL:
    library = load_library()
    reader = c_void_p
    for name, result, arguments in (
        ("new", reader, []),
        ("free", None, [reader]),
        ("read", c_int, [reader, ctypes.c_char_p, c_uint64, c_void_p]),
        ("texts", c_uint64, [reader, c_int, c_uint32, POINTER(c_void_p)]),
    ):
        function = getattr(library, f"dc_reader_{name}")
        function.restype, function.argtypes = result, arguments
    return library
