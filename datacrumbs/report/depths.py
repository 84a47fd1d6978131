"""Which call of its thread each call is inside of, where lines say how deep it was.

A call is inside the last one of its thread that began before it, is less deep and covers it. Lines that begin in one
microsecond are in the order of their beginnings, except that a call whose line was written in a later batch than those
inside of it comes after them.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.trace.lines import load_library

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.trace.dataframes import pl

UNKNOWN = 255


def enclosing(calls: pl.DataFrame, thread: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Of each call, the row of the innermost one around it that has a line; -1 for none, or where lines do not say.

    Args:
        calls: With the columns ts, end, order and depth (null where it is not known), in any order.
        thread: (n,) a number for each thread, from 0 on.
    """
    parents = np.full(len(calls), -1, np.int64)
    numbers = [np.ascontiguousarray(calls[key].to_numpy(), np.int64) for key in ("ts", "end", "order")]
    depth = np.ascontiguousarray(calls["depth"].fill_null(UNKNOWN).clip(0, UNKNOWN).to_numpy(), np.uint8)
    threads = int(thread.max()) + 1 if len(thread) else 0
    places = [*(array.ctypes.data for array in numbers), depth.ctypes.data, parents.ctypes.data]
    if _library().dc_enclose(len(calls), np.ascontiguousarray(thread, np.uint32).ctypes.data, threads, *places):
        raise MemoryError("no memory for the order of calls")
    return parents


def within(
    parents: NDArray[np.int64], group: NDArray[np.int64] | None, member: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether any of the calls around each call is of its group; and whether any of these is a member.

    Args:
        parents: (n,) from `enclosing`.
        group: (n,) what the calls must have in common; None for nothing.
        member: (n,) the calls that are asked about; None for all.
    """
    inside = np.empty(len(parents), np.uint8)
    places = [None if array is None else array.ctypes.data for array in (parents, group, member)]
    _library().dc_within(len(parents), *places, inside.ctypes.data)
    return (inside & 1) != 0, (inside & 2) != 0


@cache
def _library() -> ctypes.CDLL:
    library = load_library()
    library.dc_enclose.restype = c_int
    library.dc_enclose.argtypes = [c_uint64, c_void_p, c_uint32, *[c_void_p] * 5]
    library.dc_within.restype = None
    library.dc_within.argtypes = [c_uint64, *[c_void_p] * 4]
    return library
