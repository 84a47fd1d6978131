"""Values of data classes as bytes and back, by the types of their fields: they are data only, as pickle's are not.

Numbers, texts (with surrogates), lists, tuples and dicts are JSON; frames and arrays are Parquet behind it.
"""

from __future__ import annotations

import io
import json
import types
import typing
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    Decoder = Callable[[Any, list[bytes]], Any]

Kind = TypeVar("Kind")

_SCALARS = (str, int, float, type(None))


def to_bytes(value: object) -> bytes:
    """A value of a type that `from_bytes` knows."""
    frames: list[bytes] = []
    plain = _plain(value, frames)
    head = json.dumps([plain, [len(frame) for frame in frames]], separators=(",", ":")).encode()
    return b"".join([head, b"\n", *frames])


def from_bytes(kind: type[Kind], data: bytes) -> Kind:
    """The value that was given to `to_bytes`.

    Args:
        kind: Its type: a data class, named tuple, list, tuple, dict, frame, array or path, whose parts are such, or Any
            for what JSON carries unchanged.
        data: Its bytes.

    Raises:
        ValueError: These are of another value (also TypeError, LookupError and polars' own).
    """
    head, _, rest = data.partition(b"\n")
    plain, sizes = json.loads(head)
    frames, begin = [], 0
    for size in sizes:
        frames.append(rest[begin : begin + size])
        begin += size
    found: Kind = _decoder(typing.cast("Hashable", kind))(plain, frames)
    return found


def _plain(value: Any, frames: list[bytes]) -> Any:
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, pl.DataFrame | np.ndarray):
        return _stored(value, frames)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        texts = all(isinstance(key, str) for key in value)
        pairs = [(key if texts else _plain(key, frames), _plain(each, frames)) for key, each in value.items()]
        return dict(pairs) if texts else pairs
    parts = (
        value
        if isinstance(value, list | tuple)
        else (getattr(value, name) for name in _names(typing.cast("Hashable", type(value))))
    )
    return [_plain(each, frames) for each in parts]


def _stored(value: pl.DataFrame | NDArray[Any], frames: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        return [list(value.shape), _stored(pl.DataFrame({"numbers": value.reshape(-1)}), frames)]
    stream = io.BytesIO()
    value.write_parquet(stream, statistics=False)
    frames.append(stream.getvalue())
    return len(frames) - 1


# Of the fields of a data class or a named tuple, in order.
@cache
def _names(kind: Hashable) -> tuple[str, ...]:
    return tuple(
        kind._fields if hasattr(kind, "_fields") else (field.name for field in fields(typing.cast("Any", kind)))
    )


# What makes a value of a type of what `_plain` gave.
@cache
def _decoder(kind: Any) -> Decoder:
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        return _of_fields(kind)
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    parts = [_decoder(part) for part in arguments if part not in {type(None), ...}]
    if origin is tuple:
        return _of_places(parts, any_number=... in arguments)
    if origin not in _MAKERS:
        return _as_it_is
    return _MAKERS[origin](*parts)


def _of_fields(kind: Any) -> Decoder:
    hints = typing.get_type_hints(kind)
    parts = [_decoder(hints[name]) for name in _names(kind)]
    if all(part is _as_it_is for part in parts):
        return lambda plain, _: kind(*plain)
    return lambda plain, frames: kind(*(part(each, frames) for part, each in zip(parts, plain, strict=True)))


def _of_places(parts: list[Decoder], *, any_number: bool) -> Decoder:
    if any_number:
        return lambda plain, frames: tuple(parts[0](each, frames) for each in plain)
    return lambda plain, frames: tuple(part(each, frames) for part, each in zip(parts, plain, strict=True))


def _of_keys(key: Decoder, value: Decoder) -> Decoder:
    def decoded(plain: Any, frames: list[bytes]) -> dict[Any, Any]:
        pairs = plain.items() if isinstance(plain, dict) else plain
        return {key(each, frames): value(part, frames) for each, part in pairs}

    return decoded


def _of_list(part: Decoder) -> Decoder:
    return lambda plain, frames: [part(each, frames) for each in plain]


def _or_none(part: Decoder) -> Decoder:
    return lambda plain, frames: None if plain is None else part(plain, frames)


def _as_it_is(plain: Any, _: list[bytes]) -> Any:
    return plain


def _frame(plain: int, frames: list[bytes]) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(frames[plain]))


def _array(plain: tuple[list[int], int], frames: list[bytes]) -> Any:
    shape, place = plain
    return _frame(place, frames)["numbers"].to_numpy(writable=True).reshape(shape)


_MAKERS: dict[Any, Callable[..., Decoder]] = {
    pl.DataFrame: lambda: _frame,
    np.ndarray: lambda *_: _array,
    Path: lambda: lambda plain, _: Path(plain),
    list: _of_list,
    dict: _of_keys,
    types.UnionType: _or_none,
    typing.Union: _or_none,
}
"""Origin of a type -> what makes the decoder, of those of its parts."""
