"""Text of a trace to columns of calls, by the library that ``src`` is the source of."""

from __future__ import annotations

import ctypes
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.model.contract import MOST_DETAILS
from datacrumbs.model.layouts import COLUMNS
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.lines import load_library

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray

    from datacrumbs.trace.members import Text

WORD = pl.Categorical()
FUNCTION = ("category", "name", "symbol")
"""What distinguishes functions; the symbol is null where it is the name."""
NO_NUMBER = -(1 << 63)
DETAILS: dict[str, Any] = {"fd": pl.Int32, "offset": pl.Int64, "count": pl.Int64, "whence": pl.Int8, "flags": pl.Int64}
DETAILS |= dict.fromkeys(("dev", "sector", "nr_sector", "rwbs"), pl.Int64)
"""Arguments that `read_traces` gives as columns where they are asked for, and what of them is kept; in C's order."""
LONGS = ("begin", "duration", "result", "bytes")
INTEGERS = ("process", "thread", "errno", "depth")
WORDS = ("function", "file", "second_file")
FIRST_ROOM = 1 << 16
"""Rows of a part that there is room for before any is read."""
END_SIZE = 16
SHORTEST_CALL = len('{"name":"","cat":"","ph":"X","pid":0,"tid":0,"ts":0}\n')
_INTEGERS: dict[Any, Any] = {pl.Int8(): np.int8, pl.Int16(): np.int16, pl.Int32(): np.int32, pl.Int64(): np.int64}
_AT_ONCE = threading.Lock()
"""Texts become categories one part at a time."""


@dataclass(frozen=True, slots=True)
class CallPart:
    """Lines that follow each other.

    Attributes:
        calls: Of the lines that are calls, in their order, the columns function (its number), pid, tid, ts, dur, ret,
            errno, bytes, fhash, to_hash and depth, and those of DETAILS where they are wanted, all as narrow as their
            values allow; None where some line has a form that only a reader of all of JSON can judge.
        text: The lines that are no calls; all lines where ``calls`` is None.
        end: The last bytes.
    """

    calls: pl.DataFrame | None
    text: bytes
    end: bytes


class FunctionNumbers:
    """Functions of traces and their numbers, from 0 in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str | None, ...], int] = {}
        self._columns = list[pl.Series]()
        self._lock = threading.Lock()

    def of(self, functions: Iterable[tuple[str | None, ...]]) -> list[int]:
        """The numbers of functions, each with what FUNCTION has."""
        with self._lock:
            return [self._numbers.setdefault(each, len(self._numbers)) for each in functions]

    def numbered(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Calls with the column ``function`` instead of those of FUNCTION."""
        found = calls.select(FUNCTION).unique()
        numbers = pl.Series("function", self.of(found.rows()), pl.UInt32)
        known = found.with_columns(numbers)
        of_calls = calls.join(known, on=FUNCTION, how="left", nulls_equal=True, maintain_order="left")
        return of_calls.select("function", *(name for name in calls.columns if name not in FUNCTION))

    def columns(self) -> list[pl.Series]:
        """Of each number what FUNCTION has."""
        with self._lock:
            if not self._columns or len(self._columns[0]) < len(self._numbers):
                table = pl.DataFrame(list(self._numbers), dict.fromkeys(FUNCTION, WORD), orient="row")
                self._columns = table.get_columns()
            return self._columns

    def of_names(self, names: Collection[str]) -> list[int]:
        """The numbers of functions that have one of these names."""
        with self._lock:
            return [number for (_, name, _), number in self._numbers.items() if name in names]


class Readers:
    """Makes parts, in several threads at once.

    Args:
        details: Whether calls have the columns of DETAILS.

    Attributes:
        functions: What the numbers of functions mean.
    """

    def __init__(self, *, details: bool = False) -> None:
        self.functions = FunctionNumbers()
        self._details = tuple(DETAILS) if details else ()
        self._idle: SimpleQueue[_ColumnReader] = SimpleQueue()

    def part(self, texts: Iterable[Text]) -> CallPart:
        """Read texts of whole lines; once more where they are kept as they are."""
        with self._reader() as reader:
            return reader.part(texts)

    @contextmanager
    def _reader(self) -> Iterator[_ColumnReader]:
        try:
            reader = self._idle.get_nowait()
        except Empty:
            reader = _ColumnReader(self.functions, self._details)
        yield reader
        self._idle.put(reader)


class _ColumnReader:
    # What the library knows of the texts so far, and their categories.
    def __init__(self, numbers: FunctionNumbers, details: tuple[str, ...]) -> None:
        self._numbers, self._details = numbers, details
        self._library = load_library()
        self._reader = self._library.dc_reader_new()
        if not self._reader:
            raise MemoryError("no memory for reading a trace")
        self._room = FIRST_ROOM
        self._others = np.empty(FIRST_ROOM * SHORTEST_CALL, np.uint8)
        kinds = dict.fromkeys(LONGS, np.int64) | dict.fromkeys(INTEGERS, np.int32) | dict.fromkeys(WORDS, np.uint32)
        self._arrays: dict[str, NDArray[Any]] = {name: np.empty(FIRST_ROOM, kind) for name, kind in kinds.items()}
        self._more = np.empty((MOST_DETAILS if details else 0, FIRST_ROOM), np.int64)
        nothing = pl.Series([None], dtype=pl.String).cast(WORD)
        self._functions = np.zeros(1, np.uint32)
        self._files = nothing

    def __del__(self) -> None:
        if getattr(self, "_reader", None):
            self._library.dc_reader_free(self._reader)

    def part(self, texts: Iterable[Text]) -> CallPart:
        columns, end = np.zeros(1, COLUMNS), b""
        self._place(columns)
        for text in texts:
            characters = np.frombuffer(text, np.uint8)
            self._make_room(columns, len(characters))
            result = self._library.dc_reader_read(
                self._reader, characters.ctypes.data, len(characters), columns.ctypes.data
            )
            if result == -2:
                raise MemoryError("no memory for the names of a trace")
            if result or columns["doubtful"][0]:
                whole = b"".join(texts)
                return CallPart(None, whole, whole[-END_SIZE:])
            end = (end + bytes(text[-END_SIZE:]))[-END_SIZE:]
        rows = int(columns["rows"][0])
        calls = self._frame({name: array[:rows] for name, array in self._arrays.items()})
        more = zip(self._details, self._more, strict=True)
        calls = calls.with_columns(_detail(name, numbers[:rows]) for name, numbers in more)
        return CallPart(calls, self._others[: int(columns["other_size"][0])].tobytes(), end)

    # Room for all that a text of a size can have, behind what is there; it is used for one part after the other.
    def _make_room(self, columns: NDArray[np.void], size: int) -> None:
        rows, others = int(columns["rows"][0]), int(columns["other_size"][0])
        if rows + size // SHORTEST_CALL <= self._room and others + size <= len(self._others):
            return
        self._room = max(self._room, 2 * (rows + size // SHORTEST_CALL))
        self._arrays = {name: _larger(array, rows, self._room) for name, array in self._arrays.items()}
        self._more = _larger(self._more, rows, self._room)
        self._others = _larger(self._others, others, max(len(self._others), 2 * (others + size)))
        self._place(columns)

    def _place(self, columns: NDArray[np.void]) -> None:
        columns["room"], columns["others_room"] = self._room, len(self._others)
        for name, array in (self._arrays | {"others": self._others}).items():
            columns[name] = array.ctypes.data
        if self._details:
            columns["details"] = self._more.ctypes.data

    def _frame(self, arrays: dict[str, NDArray[Any]]) -> pl.DataFrame:
        self._learn()
        function, file, second = (arrays[name] for name in WORDS)
        return pl.DataFrame(
            [
                pl.Series("function", _narrowest(self._functions.take(function))),
                _narrow("pid", arrays["process"]),
                _narrow("tid", arrays["thread"]),
                pl.Series("ts", arrays["begin"].copy()),
                _narrow("dur", arrays["duration"]),
                _narrow("ret", arrays["result"], NO_NUMBER),
                _narrow("errno", arrays["errno"], -1),
                _narrow("bytes", arrays["bytes"], NO_NUMBER),
                self._words("fhash", file),
                self._words("to_hash", second),
                _narrow("depth", arrays["depth"], -1),
            ]
        )

    # Of few calls is there a second file.
    def _words(self, name: str, numbers: NDArray[np.uint32]) -> pl.Series:
        if not numbers.any():
            return pl.Series(name, [None], pl.String).cast(WORD).new_from_index(0, len(numbers))
        return self._files.gather(numbers).alias(name)

    # Numbers and categories of the texts that are new since the last part.
    def _learn(self) -> None:
        functions, files = self._new(0, len(self._functions)), self._new(1, len(self._files))
        if not (functions or files):
            return
        with _AT_ONCE:
            if functions:
                rows = [(*row.split("\t"), None)[:3] for row in functions]
                self._functions = np.append(self._functions, self._numbers.of(rows))
            if files:
                self._files = self._files.append(pl.Series(files, dtype=pl.String).cast(WORD))

    def _new(self, of_files: int, first: int) -> list[str]:
        place = ctypes.c_void_p()
        size = self._library.dc_reader_texts(self._reader, of_files, first, ctypes.byref(place))
        return ctypes.string_at(place, size)[:-1].decode("ascii").split("\n") if size else []


# An array with more room in its last axis, of which the first part is used.
def _larger(array: NDArray[Any], used: int, room: int) -> NDArray[Any]:
    larger = np.empty((*array.shape[:-1], room), array.dtype)
    larger[..., :used] = array[..., :used]
    return larger


def by_code(words: pl.Series, values: pl.Series, column: pl.Series) -> pl.Series:
    """For each word of a column the value of the same word among others; null for null and for a word of none.

    Args:
        words: Categories, each once.
        values: Of each its value.
        column: Categories of the same kind.
    """
    codes, known = column.to_physical(), words.to_physical()
    most = codes.max()
    places = np.full(most + 1 if isinstance(most, int) else 1, len(values), np.uint32)
    there = (known < len(places)).fill_null(value=False)
    places[known.filter(there).to_numpy()] = np.arange(len(values), dtype=np.uint32)[there.to_numpy()]
    table = values.append(pl.Series([None], dtype=values.dtype)).gather(places)
    return table.gather(codes)


# A column in as few bytes as its numbers take; the one that is ``nothing`` becomes null.
def _narrow(name: str, numbers: NDArray[Any], nothing: int | None = None) -> pl.Series:
    there = None if nothing is None else numbers != nothing
    known = numbers if there is None else numbers[there]
    if not len(known) and there is not None:
        return pl.Series(name, [None], pl.Int32).new_from_index(0, len(numbers))
    column = pl.Series(name, numbers.astype(_kind_for(known)))
    if there is None or len(known) == len(numbers):
        return column
    nulls = pl.Series([None], dtype=column.dtype).new_from_index(0, len(numbers))
    return column.zip_with(pl.Series(there), nulls).alias(name)


def _kind_for(numbers: NDArray[Any]) -> Any:
    farthest = max(int(numbers.max()), -1 - int(numbers.min())) if len(numbers) else 0
    return next(kind for kind in _INTEGERS.values() if farthest <= np.iinfo(kind).max)


def _narrowest(numbers: NDArray[np.uint32]) -> NDArray[Any]:
    return numbers.astype(np.min_scalar_type(numbers.max())) if len(numbers) else numbers


def _detail(name: str, numbers: NDArray[np.int64]) -> pl.Series:
    column = _narrow(name, numbers, NO_NUMBER)
    is_narrow = np.can_cast(_INTEGERS[column.dtype], _INTEGERS[DETAILS[name]()])
    return column if is_narrow else column.cast(DETAILS[name], strict=False)
