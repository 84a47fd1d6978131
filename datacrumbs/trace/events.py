"""Calls of one function and state to pieces of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.record import NameKind
from datacrumbs.trace.lines import Table, hash_table, text_table
from datacrumbs.trace.shape import MINUS_ONE, MOVED, State, field_values
from datacrumbs.trace.text import json_string

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.trace.lines import Piece
    from datacrumbs.trace.names import NameTable
    from datacrumbs.trace.shape import Field, Shape


class EventWriter:
    """Builds the pieces of call lines; keeps no state of its own but the names.

    Args:
        names: Where identities are resolved.
        host_hash: 16 hex digits.
        epoch_offset_ns: What to add to CLOCK_MONOTONIC to get epoch time, in ns.
    """

    def __init__(self, names: NameTable, host_hash: str, epoch_offset_ns: int) -> None:
        self._names = names
        self._middle = f',"ph":"X","args":{{"hhash":"{host_hash}"'.encode()
        self._offset = np.int64(epoch_offset_ns)

    def pieces(
        self, shape: Shape, state: State, calls: NDArray[np.void], first: int, files: Table
    ) -> tuple[list[Piece], list[str]]:
        """The template of these calls.

        Args:
            shape: The function's.
            state: The calls' common state.
            calls: (n,) records of that function and state.
            first: Number of the first line; they count up.
            files: The ``fhash`` fragments.

        Returns:
            Pieces for `render`, and metadata lines that must come before.
        """
        start = calls["start"].astype(np.int64) + self._offset
        begin = start // 1000
        duration = (start + calls["duration"].astype(np.int64)) // 1000 - begin
        pieces: list[Piece] = [b'{"id":', np.arange(first, first + len(calls), dtype=np.int64), shape.head]
        pieces += [_numbers_table(calls["process"]), b',"tid":', _numbers_table(calls["thread"])]
        pieces += [b',"ts":', begin, b',"dur":', duration, self._middle, files]
        size = calls["values"][:, shape.items_slot].astype(np.int64) if shape.items_slot >= 0 else None
        pieces += _result(shape, state, calls, size)
        lines: list[str] = []
        for field in shape.fields:
            if field.kind is not None:
                table, new = self._name_table(field, calls["values"][:, field.slot])
                lines += new
                pieces.append(table)
            else:
                pieces += [f",{json_string(field.key)}:".encode(), _plain(field, calls["values"], size)]
        pieces.append(shape.tail)
        return pieces, lines

    def _name_table(self, field: Field, identities: NDArray[np.uint64]) -> tuple[Table, list[str]]:
        distinct, index = np.unique(identities, return_inverse=True)
        return self.fragments(field.key, field.kind or NameKind.STRING, distinct, index)[:2]

    def fragments(
        self, key: str, kind: NameKind, distinct: NDArray[np.uint64], index: NDArray[np.intp]
    ) -> tuple[Table, list[str], NDArray[np.bool_]]:
        """``,"key":"hash"`` for each identity, nothing for identity 0.

        Args:
            key: The key.
            kind: What a lost name would have been.
            distinct: (k,) sorted distinct identities.
            index: (n,) which of them each call has.

        Returns:
            The table, metadata lines to be written first, and (k,) whether each is an included file.
        """
        absent = bool(len(distinct)) and int(distinct[0]) == 0
        hashes, included, lines = self._names.find(distinct[1:] if absent else distinct, kind)
        entries = hash_table(hashes, f',{json_string(key)}:"'.encode(), b'"')
        if absent:
            entries = np.vstack([np.zeros((1, entries.shape[1]), dtype=np.uint8), entries])
            included = np.concatenate([[False], included])
        return Table(entries, index), lines, included


def _result(shape: Shape, state: State, calls: NDArray[np.void], size: NDArray[np.int64] | None) -> list[Piece]:
    if state is State.POINT or state is State.OPEN or shape.result.value == "void":
        return []
    result = calls["result"].astype(np.int64)
    errno = calls["errno"].astype(np.int64)
    if state is State.FAILED:
        if shape.system_call:
            errno = np.where((errno == 0) & (result < 0), -result, errno)
        if shape.result in MINUS_ONE:
            return [b',"ret":-1', _errno_table(errno)]
        return [b',"ret":', result, _errno_table(errno)]
    if size is not None:
        result = result * size
    pieces: list[Piece] = [b',"ret":', result]
    if shape.bytes_key and shape.result in MOVED:
        pieces += [b',"bytes":', np.maximum(result, 0)]
    return pieces


def _errno_table(errno: NDArray[np.int64]) -> Table:
    # Written even when it is 0, since its presence is what tells a failed call from one that returned -1.
    distinct, index = np.unique(errno, return_inverse=True)
    return Table(text_table([f',"errno":{number}'.encode() for number in distinct.tolist()]), index)


def _numbers_table(numbers: NDArray[np.uint32]) -> Table:
    # Few distinct processes and threads: an entry each is cheaper than digits for each line.
    distinct, index = np.unique(numbers, return_inverse=True)
    return Table(text_table([str(number).encode() for number in distinct.tolist()]), index)


def _plain(field: Field, values: NDArray[np.uint64], size: NDArray[np.int64] | None) -> Piece:
    if field.one:
        return b"1"
    numbers = field_values(field, values)
    return numbers * size.astype(numbers.dtype) if field.scaled and size is not None else numbers
