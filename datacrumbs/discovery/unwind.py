"""Where exceptions land: the handlers in the tables that C++ and its like leave for the unwinder.

Formats: the exception frames of the Linux Standard Base (.eh_frame), the call-site tables of the
Itanium C++ ABI's exception handling (.gcc_except_table).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.discovery.image import Image

_OMITTED = 0xFF
_RELATIVE, _INDIRECT = 0x10, 0x80  # to the place itself; through a pointer
_FORMS = {0x00: "<q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q"}
_UNSIGNED, _SIGNED = 0x01, 0x09  # LEB128
_ENTRY_LIMIT = 4096


class _Common(NamedTuple):
    # What the entries of one common information entry share: encodings of addresses and of the table's place.
    addresses: int
    table: int


class _Reader:
    def __init__(self, image: Image, address: int) -> None:
        self.image, self.at = image, address

    def take(self, form: str) -> int:
        size = struct.calcsize(form)
        (value,) = struct.unpack(form, self.image.read(self.at, size))
        self.at += size
        return int(value)

    def leb(self) -> int:
        value = shift = 0
        while shift < 64:
            byte = self.take("<B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
        raise ValueError("a number that does not end")

    def pointer(self, encoding: int) -> int:
        place = self.at
        if encoding & 0xF in {_UNSIGNED, _SIGNED}:
            return self.leb()
        value = self.take(_FORMS[encoding & 0xF])
        return value + place if value and encoding & 0x70 == _RELATIVE else value

    def text(self) -> str:
        characters: list[str] = []
        while len(characters) < 16 and (byte := self.take("<B")):
            characters.append(chr(byte))
        return "".join(characters)


def landing_pads(image: Image) -> NDArray[np.int64]:
    """Addresses of all handlers; ValueError and its like for tables that cannot be read."""
    commons: dict[int, _Common] = {}
    pads: list[int] = []
    for entry in image.unwind.tolist():
        reader = _Reader(image, entry)
        reader.take("<I")
        place = reader.at
        common = place - reader.take("<I")
        if common not in commons:
            commons[common] = _common(_Reader(image, common))
        shared = commons[common]
        if shared.table == _OMITTED:
            continue
        start = reader.pointer(shared.addresses)
        reader.pointer(shared.addresses & 0xF)
        reader.leb()
        table = reader.pointer(shared.table)
        if table:
            if shared.table & _INDIRECT:
                table = _Reader(image, table).take("<q")
            pads += _call_sites(_Reader(image, table), start)
    return np.array(sorted(set(pads)), np.int64)


def _common(reader: _Reader) -> _Common:
    reader.at += 8
    version = reader.take("<B")
    augmentation = reader.text()
    reader.leb()
    reader.leb()
    if version == 1:
        reader.take("<B")
    else:
        reader.leb()
    addresses, table = 0, _OMITTED
    if augmentation.startswith("z"):
        reader.leb()
        for letter in augmentation[1:]:
            if letter == "R":
                addresses = reader.take("<B")
            elif letter == "L":
                table = reader.take("<B")
            elif letter == "P":
                reader.pointer(reader.take("<B"))
    return _Common(addresses, table)


def _call_sites(reader: _Reader, function: int) -> list[int]:
    encoding = reader.take("<B")
    base = function if encoding == _OMITTED else reader.pointer(encoding)
    if reader.take("<B") != _OMITTED:
        reader.leb()
    encoding = reader.take("<B")
    end = reader.leb()
    end += reader.at
    pads: list[int] = []
    while reader.at < end and len(pads) < _ENTRY_LIMIT:
        reader.pointer(encoding)
        reader.pointer(encoding)
        if pad := reader.pointer(encoding):
            pads.append(base + pad)
        reader.leb()
    return pads
