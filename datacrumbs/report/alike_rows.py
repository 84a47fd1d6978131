"""Rows of numbers: which are alike, and in which order they are; by the library that `datacrumbs.trace` has."""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.trace.lines import load_library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class AlikeRows:
    """Rows of numbers, of which those that are alike have the same number.

    Args:
        columns: Of whole numbers, all of one length.

    Attributes:
        numbers: Of each row, from 0 in the order of the first of each number.
        count: How many numbers there are.
    """

    def __init__(self, columns: Sequence[NDArray[np.integer[Any]]]) -> None:
        self._columns = [np.ascontiguousarray(column, np.int64) for column in columns]
        rows = len(columns[0])
        self.numbers, self._firsts = np.empty(rows, np.uint32), np.empty(rows, np.uint32)
        self._table = np.zeros(1 << (2 * rows).bit_length(), np.uint32)
        outputs = (self.numbers.ctypes.data, self._firsts.ctypes.data, self._table.ctypes.data, len(self._table) - 1)
        self.count = int(library().dc_number_rows(rows, _places(self._columns), len(columns), *outputs))

    def distinct(self) -> list[tuple[int, ...]]:
        """Of each number what its rows have in the columns."""
        return list(zip(*(column.tolist() for column in self.columns()), strict=True))

    def in_order(self) -> NDArray[np.uint32]:
        """Of each number the place of its rows in the order of the first column, then the second one, and so on."""
        places = np.empty(self.count, np.uint32)
        places[np.lexsort(self.columns()[::-1])] = np.arange(self.count, dtype=np.uint32)
        return places

    def columns(self) -> list[NDArray[np.int64]]:
        """The same, column by column."""
        return [column[self._firsts[: self.count]] for column in self._columns]

    def has(self, columns: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
        """Which of other rows are among these, which must differ from each other."""
        columns = [np.ascontiguousarray(column, np.int64) for column in columns]
        found = np.empty(len(columns[0]), np.bool_)
        table = (self._table.ctypes.data, len(self._table) - 1)
        arguments = (_places(columns), len(columns), _places(self._columns), *table, found.ctypes.data)
        library().dc_find_rows(len(found), *arguments)
        return found


def sequence(
    begin: NDArray[np.int64],
    group: NDArray[np.uint32] | None = None,
    groups: int = 1,
    order: NDArray[np.int64] | None = None,
    *,
    end: NDArray[np.int64] | None = None,
    layer: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint32]:
    """Rows in the order of their groups and of a number, and then, where an order is given, the outer ones first.

    Args:
        begin: (n,) the number, none more than 2**63 above another.
        group: (n,) less than ``groups``; None for one group.
        groups: How many there are.
        order: (n,) decides last; None for rows that are alike as they stand.
        end: (n,) the later ones first; None for the same of all.
        layer: (n,) the lower numbers first; None likewise.

    Raises:
        MemoryError: There is no room for the order of the rows.
    """
    rows = np.empty(len(begin), np.uint32)
    group = np.zeros(len(begin), np.uint32) if group is None else group
    begin = np.ascontiguousarray(begin, np.int64)
    ties: list[NDArray[np.generic]] = []
    if order is not None:
        ties = [begin if end is None else np.ascontiguousarray(end, np.int64), np.ascontiguousarray(order, np.int64)]
        ties.append(np.zeros(len(begin), np.uint8) if layer is None else layer)
    places = [array.ctypes.data for array in ties] if ties else (None, None, None)
    if library().dc_sequence(len(begin), group.ctypes.data, groups, begin.ctypes.data, *places, rows.ctypes.data):
        raise MemoryError("no memory for the order of calls")
    return rows


def _places(columns: Sequence[NDArray[np.int64]]) -> ctypes.Array[c_void_p]:
    return (c_void_p * len(columns))(*(column.ctypes.data for column in columns))


@cache
def library() -> ctypes.CDLL:
    """The library's part that orders, adds up and nests calls."""
    found = load_library()
    found.dc_number_rows.restype = c_uint32
    found.dc_number_rows.argtypes = [c_uint64, c_void_p, c_uint32, c_void_p, c_void_p, c_void_p, c_uint64]
    found.dc_find_rows.restype = found.dc_sum_rows.restype = None
    found.dc_find_rows.argtypes = [c_uint64, c_void_p, c_uint32, c_void_p, c_void_p, c_uint64, c_void_p]
    found.dc_sum_rows.argtypes = [c_uint64, *[c_void_p] * 3]
    found.dc_nest.restype = found.dc_parents.restype = found.dc_sequence.restype = c_int
    found.dc_sequence.argtypes = [c_uint64, c_void_p, c_uint32, *[c_void_p] * 5]
    found.dc_nest.argtypes = found.dc_parents.argtypes = [c_uint64, c_void_p, c_uint32, *[c_void_p] * 6]
    return found
