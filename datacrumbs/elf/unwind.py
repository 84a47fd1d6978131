"""Where exceptions land: the handlers in the tables that C++ and its like leave for the unwinder.

Formats: the exception frames of the Linux Standard Base (.eh_frame, .eh_frame_hdr), the call-site tables of the
Itanium C++ ABI's exception handling (.gcc_except_table).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.elf.segments import ProgramImage

_OMITTED = 0xFF
_RELATIVE, _INDIRECT = 0x10, 0x80  # to the place itself; through a pointer
_FORMS = {0x00: "<q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q"}
_UNSIGNED, _SIGNED = 0x01, 0x09  # LEB128
_ENTRY_LIMIT = 4096
_WIDE = 0xFFFFFFFF  # a length of 64 bits follows, which no compiler writes here


class Common(NamedTuple):
    """What the entries of one common information entry share.

    Args:
        addresses: Encoding of addresses.
        table: Encoding of the place of the table of handlers.
        augmented: Whether entries say how long their additions are.
        signal: Whether its frames are those of signals.
        code_unit: Factor of distances between instructions.
        data_unit: Factor of offsets on the stack.
        return_column: Number of the return address among the registers.
        program: Address and end of its instructions.
    """

    addresses: int
    table: int
    augmented: bool
    signal: bool
    code_unit: int
    data_unit: int
    return_column: int
    program: tuple[int, int]


class Entry(NamedTuple):
    """One unwind entry: a range of code, where its table of handlers is (0: none) and its instructions."""

    common: Common
    start: int
    size: int
    table: int
    program: tuple[int, int]


class Reader:
    """Takes numbers from memory, one after the other; ValueError where the file has none."""

    def __init__(self, image: ProgramImage, address: int) -> None:
        self.image, self.at = image, address

    def take(self, form: str) -> int:
        """A number in a form of `struct`."""
        size = struct.calcsize(form)
        (value,) = struct.unpack(form, self.image.read(self.at, size))
        self.at += size
        return int(value)

    def leb(self) -> int:
        """An unsigned LEB128 number."""
        value = shift = 0
        while shift < 64:
            byte = self.take("<B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
        raise ValueError("a number that does not end")

    def signed_leb(self) -> int:
        """A signed LEB128 number."""
        start = self.at
        value = self.leb()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> (bits - 1) else value

    def pointer(self, encoding: int) -> int:
        """An address as the exception frames encode it."""
        place = self.at
        if encoding & 0xF in {_UNSIGNED, _SIGNED}:
            return self.leb()
        value = self.take(_FORMS[encoding & 0xF])
        return value + place if value and encoding & 0x70 == _RELATIVE else value

    def text(self) -> str:
        """A short text that ends with a zero."""
        characters: list[str] = []
        while len(characters) < 16 and (byte := self.take("<B")):
            characters.append(chr(byte))
        return "".join(characters)


def landing_pads(image: ProgramImage) -> NDArray[np.int64]:
    """Addresses of all handlers; ValueError and its like for tables that cannot be read."""
    entries = Entries(image)
    pads: list[int] = []
    for place in entries.places[:, 1].tolist():
        entry = entries.at(place)
        if entry.table:
            pads += [pad for pad, _ in call_sites(Reader(image, entry.table), entry.start)]
    return np.array(sorted(set(pads)), np.int64)


class Entries:
    """Reads the unwind entries of a file.

    ``places`` has a row for each, sorted: the address of its function, and its own.
    """

    def __init__(self, image: ProgramImage) -> None:
        self._image = image
        self._commons: dict[int, Common] = {}
        self.places = np.stack([image.described, image.unwind], axis=1)
        if not len(self.places) and image.frames[1]:
            self.places = self._walked(*image.frames)

    def covering(self, address: int) -> Entry | None:
        """The entry of the code at an address; ValueError and its like when it cannot be read."""
        index = int(np.searchsorted(self.places[:, 0], address, "right")) - 1
        if index < 0:
            return None
        entry = self.at(int(self.places[index, 1]))
        return entry if entry.start <= address < entry.start + entry.size else None

    def at(self, address: int) -> Entry:
        """The entry that is at an address; ValueError and its like when it cannot be read."""
        reader = Reader(self._image, address)
        end = reader.take("<I") + reader.at
        place = reader.at
        place -= reader.take("<I")
        if place not in self._commons:
            self._commons[place] = _common(Reader(self._image, place))
        common = self._commons[place]
        start = reader.pointer(common.addresses)
        size = reader.pointer(common.addresses & 0xF)
        table = 0
        if common.augmented:
            begin = reader.leb() + reader.at
            if common.table != _OMITTED:
                table = reader.pointer(common.table)
                if table and common.table & _INDIRECT:
                    table = Reader(self._image, table).take("<q")
            reader.at = begin
        return Entry(common, start, size, table, (reader.at, end))

    def _walked(self, at: int, size: int) -> NDArray[np.int64]:
        rows = []
        end = at + size
        while at + 8 <= end:
            reader = Reader(self._image, at)
            length, common = reader.take("<I"), reader.take("<I")
            if length in {0, _WIDE}:
                break
            if common:
                rows.append((self.at(at).start, at))
            at += 4 + length
        return np.array(sorted(rows), np.int64).reshape(-1, 2)


def _common(reader: Reader) -> Common:
    end = reader.take("<I") + reader.at
    reader.at += 4
    version = reader.take("<B")
    augmentation = reader.text()
    code_unit, data_unit = reader.leb(), reader.signed_leb()
    column = reader.take("<B") if version == 1 else reader.leb()
    addresses, table = 0, _OMITTED
    augmented = augmentation.startswith("z")
    if augmented:
        begin = reader.leb() + reader.at
        for letter in augmentation[1:]:
            if letter == "R":
                addresses = reader.take("<B")
            elif letter == "L":
                table = reader.take("<B")
            elif letter == "P":
                reader.pointer(reader.take("<B"))
        reader.at = begin
    return Common(addresses, table, augmented, "S" in augmentation, code_unit, data_unit, column, (reader.at, end))


def call_sites(reader: Reader, function: int) -> list[tuple[int, int]]:
    """Handlers in a table, and what each does: 0 cleans up and lets the exception pass on."""
    encoding = reader.take("<B")
    base = function if encoding == _OMITTED else reader.pointer(encoding)
    if reader.take("<B") != _OMITTED:
        reader.leb()
    encoding = reader.take("<B")
    end = reader.leb()
    end += reader.at
    pads: list[tuple[int, int]] = []
    while reader.at < end and len(pads) < _ENTRY_LIMIT:
        reader.pointer(encoding)
        reader.pointer(encoding)
        pad = reader.pointer(encoding)
        action = reader.leb()
        if pad:
            pads.append((base + pad, action))
    return pads
