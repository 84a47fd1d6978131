"""What the lines of a function are made of, as the library for lines takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.contract import LONGEST_LINE, PIECES, SLOTS, NameKind, PieceKind, State
from datacrumbs.model.layouts import OP
from datacrumbs.trace.line_shape import MINUS_ONE, MOVED
from datacrumbs.trace.text import json_string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from datacrumbs.trace.line_shape import Field, Shape

_LONGEST_VALUE = 21
_NO_ITEMS = SLOTS


@dataclass(frozen=True, slots=True)
class Piece:
    """Constant text, then a value.

    ``key`` precedes the value where it is a hash or an amount, and is left out with it. The other fields are
    those of `struct dc_op`.
    """

    text: bytes
    kind: PieceKind
    key: bytes = b""
    slot: int = 0
    size: int = 8
    signed: bool = False
    items: int = _NO_ITEMS


@dataclass(frozen=True, slots=True)
class Templates:
    """The lines of one function: a template per State.

    Attributes:
        ops: OP, of all templates.
        starts: (states + 1,) where each begins in ``ops``.
        texts: What the ops refer to.
    """

    ops: NDArray[np.void]
    starts: NDArray[np.uint32]
    texts: bytes


def templates(shape: Shape, host_hash: str) -> Templates:
    """The templates of a function.

    Args:
        shape: Of the function.
        host_hash: 16 hex digits.

    Raises:
        ValueError: A line could be longer than LONGEST_LINE.
    """
    rows: list[tuple[int | tuple[int, int, int], ...]] = []
    starts = [0]
    texts = bytearray()
    for state in State:
        made = list(_pieces(shape, state, host_hash))
        if len(made) > PIECES or sum(len(p.text) + len(p.key) + _LONGEST_VALUE for p in made) > LONGEST_LINE:
            raise ValueError(f"{shape.head!r}: its lines are too long")
        for piece in made:
            sizes = (len(texts), len(piece.text), len(piece.key))
            rows.append((*sizes, piece.kind, piece.slot, piece.size, piece.signed, piece.items, (0, 0, 0)))
            texts += piece.text + piece.key
        starts.append(len(rows))
    return Templates(np.array(rows, dtype=OP), np.array(starts, dtype=np.uint32), bytes(texts))


def _pieces(shape: Shape, state: State, host_hash: str) -> Iterator[Piece]:
    yield Piece(b'{"id":', PieceKind.ID)
    yield Piece(shape.head, PieceKind.PROCESS)
    yield Piece(b',"tid":', PieceKind.THREAD)
    yield Piece(b',"ts":', PieceKind.BEGIN, signed=True)
    yield Piece(b',"dur":', PieceKind.DURATION, signed=True)
    yield Piece(b',"ph":"X","args":{', PieceKind.DEPTH, b'"depth":')
    yield Piece(f'"hhash":"{host_hash}"'.encode(), PieceKind.FILE, b',"fhash":"')
    yield from _result(shape, state)
    items = shape.items_slot if shape.items_slot >= 0 else _NO_ITEMS
    for field in shape.fields:
        yield _field(field, items)
    yield Piece(shape.tail, PieceKind.NOTHING)


def _result(shape: Shape, state: State) -> Iterator[Piece]:
    if state is State.POINT or state is State.OPEN or shape.result.value == "void":
        return
    if state is State.FAILED:
        # Written even when it is 0, since only its presence distinguishes a failed call from one that returned -1.
        error = PieceKind.SYSTEM_ERROR if shape.system_call else PieceKind.ERROR
        if shape.result in MINUS_ONE:
            yield Piece(b',"ret":-1,"errno":', error, signed=True)
        else:
            yield Piece(b',"ret":', PieceKind.RESULT, signed=True)
            yield Piece(b',"errno":', error, signed=True)
        return
    items = shape.items_slot if shape.items_slot >= 0 else _NO_ITEMS
    yield Piece(b',"ret":', PieceKind.RESULT, signed=True, items=items)
    if shape.bytes_key and shape.result in MOVED:
        yield Piece(b',"bytes":', PieceKind.MOVED, signed=True, items=items)


def _field(field: Field, items: int) -> Piece:
    key = f",{json_string(field.key)}:".encode()
    if field.kind is not None:
        return Piece(b"", PieceKind.NAME, key + b'"', slot=field.slot, size=int(field.kind or NameKind.STRING))
    if field.amount:
        return Piece(b"", PieceKind.AMOUNT, key, slot=field.slot, size=field.size, signed=True)
    if field.one:
        return Piece(key + b"1", PieceKind.NOTHING)
    return Piece(
        key,
        PieceKind.VALUE,
        slot=field.slot,
        size=field.size,
        signed=field.signed,
        items=items if field.scaled else _NO_ITEMS,
    )
