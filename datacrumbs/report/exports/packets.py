"""Rows of equal length of a protobuf message, made all at once.

A number is written with as many bytes as its field has in all rows: protobuf allows leading zeros of a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

NUMBER, MESSAGE = 0, 2


def number(value: int) -> bytes:
    """A number, as short as it can be; a negative one as its 64 bits."""
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def field(identity: int, value: int | bytes | str) -> bytes:
    """One field of a message."""
    if isinstance(value, int):
        return number(identity << 3 | NUMBER) + number(value)
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return number(identity << 3 | MESSAGE) + number(len(data)) + data


def numbers(identity: int, values: NDArray[np.int64], width: int) -> Bytes:
    """A field of each row.

    Args:
        identity: The field's number.
        values: One for each row; negative ones need a width of 10.
        width: Bytes of each value, 7 bits in each.
    """
    found = np.empty((len(values), width), np.uint8)
    rest = values.astype(np.int64).view(np.uint64)
    for place in range(width):
        found[:, place] = (rest & np.uint64(127)).astype(np.uint8) | (128 if place < width - 1 else 0)
        rest = rest >> np.uint64(7)
    return _after(number(identity << 3 | NUMBER), found)


def same(data: bytes, rows: int) -> Bytes:
    """The same bytes in each row."""
    return np.broadcast_to(np.frombuffer(data, np.uint8), (rows, len(data)))


def message(identity: int, parts: Sequence[Bytes]) -> Bytes:
    """A message in each row.

    Args:
        identity: The field's number.
        parts: What it consists of.
    """
    body = np.hstack(parts)
    return _after(number(identity << 3 | MESSAGE) + number(body.shape[1]), body)


def in_order(parts: Sequence[tuple[NDArray[np.int64], Bytes]]) -> bytes:
    """Rows of different lengths, one after the other.

    Args:
        parts: Of rows of equal length, their places in the order, and the rows.
    """
    length = np.zeros(1 + max((int(places.max()) for places, _ in parts if len(places)), default=-1), np.int64)
    for places, rows in parts:
        length[places] = rows.shape[1]
    begin = np.cumsum(length) - length
    found = np.empty(int(length.sum()), np.uint8)
    for places, rows in parts:
        found[begin[places][:, None] + np.arange(rows.shape[1])] = rows
    return found.tobytes()


def _after(head: bytes, body: Bytes) -> Bytes:
    return np.hstack([same(head, len(body)), body])
