"""Columns to lines of text, without a Python object per line.

A line is a fixed template with numbers and table entries in it. All lines of one template form a
byte matrix: the template is broadcast, numbers enter four digits at a time from a lookup table,
entries of a table by index; what a line does not need of a column's width is NUL, and the NULs
are dropped in the end. So NUL must not occur in templates and tables, and JSON never has one.
`bench/lines.py` compares this with other ways; docs/design/0004-trace-writing.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DIGITS = 4
BASE = 10**DIGITS


@dataclass(frozen=True, slots=True)
class Table:
    """Texts, of which each line takes one.

    Args:
        entries: (k, w) bytes, NUL where a text is shorter than w.
        index: (n,) which entry each line takes.
    """

    entries: NDArray[np.uint8]
    index: NDArray[np.intp]


Piece = bytes | Table | npt.NDArray[Any]
"""Part of a template: constant bytes, a Table, or (n,) int64 or uint64 numbers."""


def text_table(texts: Sequence[bytes]) -> NDArray[np.uint8]:
    """The ``entries`` of a Table from byte strings."""
    width = max(1, max((len(text) for text in texts), default=1))
    return np.array(list(texts), dtype=f"S{width}").view(np.uint8).reshape(len(texts), width)


def hash_table(hashes: NDArray[np.uint64], before: bytes, after: bytes) -> NDArray[np.uint8]:
    """Table entries ``before`` + 16 hex digits + ``after`` for (k,) hashes."""
    nibbles = np.empty((len(hashes), 16), dtype=np.uint8)
    for column in range(16):
        nibbles[:, column] = (hashes >> np.uint64(60 - 4 * column)) & np.uint64(15)
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)[nibbles]
    left = np.broadcast_to(np.frombuffer(before, np.uint8), (len(hashes), len(before)))
    right = np.broadcast_to(np.frombuffer(after, np.uint8), (len(hashes), len(after)))
    return np.hstack([left, digits, right])


def render(pieces: Sequence[Piece], rows: int) -> bytes:
    """All lines of one template.

    Args:
        pieces: The template in order; adjacent constants are fine.
        rows: Number of lines, n; every Table and number column has n entries.
    """
    template = bytearray()
    columns: list[tuple[int, Table | _Number]] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            template += piece
            continue
        column = piece if isinstance(piece, Table) else _number(piece)
        columns.append((len(template), column))
        template += b"\0" * (column.entries.shape[1] if isinstance(column, Table) else column.width)
    matrix = np.empty((rows, len(template)), dtype=np.uint8)
    matrix[:] = np.frombuffer(bytes(template), dtype=np.uint8)
    for offset, column in columns:
        if isinstance(column, Table):
            matrix[:, offset : offset + column.entries.shape[1]] = column.entries[column.index]
        else:
            _put(matrix, offset, column)
    return bytes(matrix[matrix != 0].tobytes())


@dataclass(frozen=True, slots=True)
class _Number:
    # A number column as it stands in the matrix: an optional sign byte, then groups of four digits.
    magnitude: NDArray[np.uint64]
    negative: NDArray[np.bool_] | None
    groups: int

    @property
    def width(self) -> int:
        return DIGITS * self.groups + (self.negative is not None)


def _number(values: NDArray[np.int64] | NDArray[np.uint64]) -> _Number:
    negative = None
    magnitude = values.astype(np.uint64)
    if values.dtype.kind == "i" and len(values) and int(values.min()) < 0:
        negative = values < 0
        # In two's complement the negation of the lowest number is right as unsigned.
        magnitude = np.where(negative, ~magnitude + np.uint64(1), magnitude)
    largest = int(magnitude.max()) if len(magnitude) else 0
    return _Number(magnitude, negative, -(-len(str(largest)) // DIGITS))


def _put(matrix: NDArray[np.uint8], offset: int, number: _Number) -> None:
    if number.negative is not None:
        matrix[:, offset] = number.negative * np.uint8(ord("-"))
        offset += 1
    rest = number.magnitude
    for group in range(number.groups - 1, -1, -1):
        higher = rest // np.uint64(BASE)
        digits = rest - higher * np.uint64(BASE)
        table = _LAST if group == number.groups - 1 else _UPPER
        index = (digits + (higher > 0) * np.uint64(BASE)).astype(np.intp)
        start = offset + DIGITS * group
        matrix[:, start : start + DIGITS].view(np.uint32)[:, 0] = table[index]
        rest = higher


def _digit_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    # Entry i: the digits of i without leading zeros; entry BASE + i: with them. The last group of a
    # number shows a lone 0, the upper ones show nothing instead.
    numbers = np.arange(BASE)
    digits = np.stack([numbers // 10 ** (DIGITS - 1 - place) % 10 for place in range(DIGITS)], axis=1) + ord("0")
    leading = np.stack([numbers >= 10 ** (DIGITS - 1 - place) for place in range(DIGITS)], axis=1)
    upper = np.where(leading, digits, 0)
    last = upper.copy()
    last[0, -1] = ord("0")
    packed = [np.vstack([short, digits]).astype(np.uint8).view(np.uint32).ravel() for short in (last, upper)]
    return packed[0], packed[1]


_LAST, _UPPER = _digit_tables()
