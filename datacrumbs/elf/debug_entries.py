"""The entries of a file's debug information (DWARF 2 to 5), read without an object for each.

A library's debug information has some hundred thousand entries, of which the functions, their parameters and their
types matter. So all others are passed over by the sizes of their forms, which are worked out once for each
abbreviation. Section and form numbers are those of the DWARF 5 standard, chapters 7.5 and 7.5.6.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.elf.debug_sections import DebugSections

SIBLING, NAME, BYTE_SIZE, LANGUAGE, STRING_BASE = 0x01, 0x03, 0x0B, 0x13, 0x72
ENCODING, EXTERNAL, TYPE, SIGNATURE, LINKAGE_NAME = 0x3E, 0x3F, 0x49, 0x69, 0x6E
_WANTED = frozenset(
    (SIBLING, NAME, BYTE_SIZE, LANGUAGE, STRING_BASE, ENCODING, EXTERNAL, TYPE, SIGNATURE, LINKAGE_NAME)
)

_STRING, _INDIRECT, _IMPLICIT, _SIGNED, _BY_SIGNATURE = 0x08, 0x16, 0x21, 0x0D, 0x20
_BY_SIZE = {
    0: (0x19, 0x21),
    1: (0x0B, 0x0C, 0x11, 0x25, 0x29),
    2: (0x05, 0x12, 0x26, 0x2A),
    3: (0x27, 0x2B),
    4: (0x06, 0x13, 0x1C, 0x28, 0x2C),
    8: (0x07, 0x14, 0x20, 0x24),
    16: (0x1E,),
}
_FIXED = {form: size for size, forms in _BY_SIZE.items() for form in forms}
_OFFSETS = frozenset((0x0E, 0x17, 0x1D, 0x1F, 0x1F20, 0x1F21))  # as wide as an offset of the unit
_ADDRESS, _REFERENCE = 0x01, 0x10
_LEB = frozenset((0x0D, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23, 0x1F01, 0x1F02))
_BLOCKS = {0x0A: 1, 0x03: 2, 0x04: 4, 0x09: 0, 0x18: 0}  # bytes of their length; 0: a LEB128 number
_IN_UNIT = frozenset((0x11, 0x12, 0x13, 0x14, 0x15))
_IN_SUPPLEMENT = frozenset((0x1C, 0x24, 0x1F20))
_STRINGS_BY_INDEX = frozenset((0x1A, 0x25, 0x26, 0x27, 0x28))
_STRINGS, _LINE_STRINGS, _SUPPLEMENT_STRINGS = 0x0E, 0x1F, frozenset((0x1D, 0x1F21))
# Kinds of units with something between the head and the first entry: type units, skeletons and split units.
_TYPE_UNITS, _WITH_IDENTITY = (2, 6), (4, 5)


class EntryShape:
    """What an abbreviation says of its entries: their tag, whether they have children, their attributes' forms."""

    def __init__(self, tag: int, children: bool, forms: tuple[tuple[int, int, int], ...]) -> None:
        self.tag, self.children, self.forms = tag, children, forms
        self.attributes = frozenset(attribute for attribute, _, _ in forms)
        kinds = [form for _, form, _ in forms]
        self.offsets = sum(form in _OFFSETS for form in kinds)
        self.addresses = kinds.count(_ADDRESS)
        self.bytes = sum(_FIXED.get(form, 0) for form in kinds)
        self.varies = not all(form in _FIXED or form in _OFFSETS or form == _ADDRESS for form in kinds)


class DebugEntry(NamedTuple):
    """One entry: where it is, and those of its attributes that are asked for anywhere; text as bytes."""

    unit: Unit
    tag: int
    attributes: dict[int, Any]
    forms: dict[int, int]
    behind: int
    children: bool

    def kids(self) -> Iterator[DebugEntry]:
        """The entries directly below."""
        return self.unit.below(self.behind) if self.children else iter(())

    def referred(self, attribute: int) -> DebugEntry:
        """The entry that an attribute refers to; behind a mere declaration, what is declared."""
        found = self.unit.information.referred(self.unit, self.forms[attribute], self.attributes[attribute])
        return found.referred(SIGNATURE) if SIGNATURE in found.attributes and attribute != SIGNATURE else found


class Information:
    """All units of one file's debug information.

    Args:
        sections: The file's sections.
        of_types: Read the section that DWARF 4 has for type units alone.
    """

    def __init__(self, sections: DebugSections, *, of_types: bool = False) -> None:
        self.data = sections.types if of_types else sections.info
        self.of_types = of_types
        self.strings = sections.strings
        self.line_strings = sections.line_strings
        self.string_offsets = sections.string_offsets
        self.abbreviations = sections.abbreviations
        self.supplement = Information(sections.supplement) if sections.supplement else None
        self._types = None if of_types else Information(sections, of_types=True)
        self._tables: dict[int, dict[int, EntryShape]] = {}
        self._shapes: dict[object, EntryShape] = {}  # units have tables of their own, of much the same shapes
        self._units: list[Unit] = []
        self._starts: list[int] = []
        self._signatures: dict[int, tuple[Unit, int]] | None = None

    def units(self) -> Iterator[Unit]:
        """The units, read as they are asked for."""
        position = 0
        while position < len(self._units) or self._read_next():
            yield self._units[position]
            position += 1

    def table(self, offset: int) -> dict[int, EntryShape]:
        """The abbreviations of a unit: code -> shape."""
        if offset not in self._tables:
            self._tables[offset] = {
                code: self._shapes.get(shape) or self._shapes.setdefault(shape, EntryShape(*shape))
                for code, shape in _abbreviations(self.abbreviations, offset)
            }
        return self._tables[offset]

    def referred(self, unit: Unit, form: int, value: int) -> DebugEntry:
        """The entry that an attribute of ``unit`` with this form and value refers to.

        Raises:
            ValueError: There is none.
        """
        if form in _IN_UNIT:
            return unit.entry(unit.start + value)
        if form == _BY_SIGNATURE:
            return self._by_signature(value)
        if form in _IN_SUPPLEMENT:
            if self.supplement is None:
                raise ValueError("refers to a file that is not here")
            return self.supplement.unit_at(value).entry(value)
        return self.unit_at(value).entry(value)

    def unit_at(self, offset: int) -> Unit:
        """The unit that holds an offset of the section."""
        while (not self._units or self._units[-1].end <= offset) and self._read_next():
            pass
        position = bisect_right(self._starts, offset) - 1
        if position < 0 or offset >= self._units[position].end:
            raise ValueError("an offset outside of all units")
        return self._units[position]

    def _by_signature(self, signature: int) -> DebugEntry:
        if self._signatures is None:
            places = [self, self._types] if self._types else [self]
            units = (unit for place in places for unit in place.units() if unit.type)
            self._signatures = {unit.signature: (unit, unit.type) for unit in units}
        if signature not in self._signatures:
            raise ValueError("a type unit that is not here")
        unit, offset = self._signatures[signature]
        return unit.entry(unit.start + offset)

    def _read_next(self) -> bool:
        start = self._units[-1].end if self._units else 0
        if start >= len(self.data):
            return False
        self._units.append(Unit(self, start))
        self._starts.append(start)
        return True


class Unit:
    """One unit: what one run of a compiler described."""

    def __init__(self, information: Information, start: int) -> None:
        self.information, self.start = information, start
        data, at = information.data, start
        length, at = _number(data, at, 4), at + 4
        self.offset_size = 4
        if length == 0xFFFFFFFF:
            self.offset_size, length, at = 8, _number(data, at, 8), at + 8
        self.end = at + length
        if self.end > len(data) or not length:
            raise ValueError("a unit that is longer than its section")
        self.version, at = _number(data, at, 2), at + 2
        kind, self.signature, self.type = 1, 0, 0
        if self.version >= 5:
            kind, self.address_size = data[at], data[at + 1]
            abbreviations, at = _number(data, at + 2, self.offset_size), at + 2 + self.offset_size
        else:
            abbreviations, at = _number(data, at, self.offset_size), at + self.offset_size
            self.address_size, at = data[at], at + 1
        # What is between the head and the first entry of some kinds.
        if kind in _WITH_IDENTITY:
            at += 8
        if kind in _TYPE_UNITS or information.of_types:
            self.signature, at = _number(data, at, 8), at + 8
            self.type, at = _number(data, at, self.offset_size), at + self.offset_size
        self.first = at
        self._table = information.table(abbreviations)
        self._string_base: int | None = None

    def functions(self, tag: int, attribute: int) -> Iterator[DebugEntry]:
        """The entries directly below the unit's own that have a tag and an attribute."""
        top, behind = self._abbreviation(self.first)
        if top is None or not top.children:
            return
        at = self._passed(top, behind)
        while at < self.end:
            shape, behind = self._abbreviation(at)
            if shape is None:
                return
            if shape.tag == tag and attribute in shape.attributes:
                yield self.entry(at)
            at = self._next(shape, behind)

    def below(self, at: int) -> Iterator[DebugEntry]:
        """The entries from ``at`` up to the end of their list."""
        while at < self.end:
            shape, behind = self._abbreviation(at)
            if shape is None:
                return
            entry = self.entry(at)
            yield entry
            at = self._next(shape, behind)

    def entry(self, at: int) -> DebugEntry:
        """The entry at an offset of the section.

        Raises:
            ValueError: None begins there.
        """
        shape, at = self._abbreviation(at)
        if shape is None:
            raise ValueError("a reference to the end of a list")
        values: dict[int, Any] = {}
        forms: dict[int, int] = {}
        for attribute, form, implicit in shape.forms:
            if attribute not in _WANTED:
                at = self._behind(form, at)
                continue
            values[attribute], forms[attribute], at = self._value(form, implicit, at)
        return DebugEntry(self, shape.tag, values, forms, at, shape.children)

    def _abbreviation(self, at: int) -> tuple[EntryShape | None, int]:
        code = self.information.data[at]
        at += 1
        if code >= 0x80:
            code, at = _leb(self.information.data, at - 1)
        return (self._table[code] if code else None), at

    # Where the entry behind one and all below it begins.
    def _next(self, shape: EntryShape, at: int) -> int:
        if not shape.children:
            return self._passed(shape, at)
        begin = at
        if SIBLING in shape.attributes:
            for attribute, form, implicit in shape.forms:
                if attribute == SIBLING:
                    at = self.start + int(self._value(form, implicit, at)[0])
                    break
                at = self._behind(form, at)
            if at <= begin:
                raise ValueError("a sibling before the entry itself")
            return at
        at = self._passed(shape, at)
        depth = 1
        while depth and at < self.end:
            inner, at = self._abbreviation(at)
            if inner is None:
                depth -= 1
            else:
                at = self._passed(inner, at)
                depth += inner.children
        return at

    def _passed(self, shape: EntryShape, at: int) -> int:
        if not shape.varies:
            return at + shape.bytes + shape.offsets * self.offset_size + shape.addresses * self.address_size
        for _, form, _ in shape.forms:
            at = self._behind(form, at)
        return at

    def _behind(self, form: int, at: int) -> int:
        if form in _FIXED:
            return at + _FIXED[form]
        data = self.information.data
        if form in _OFFSETS:
            return at + self.offset_size
        if form in _LEB:
            while data[at] >= 0x80:
                at += 1
            return at + 1
        if form in _BLOCKS:
            width = _BLOCKS[form]
            size, at = (_number(data, at, width), at + width) if width else _leb(data, at)
            return at + size
        return self._behind_rare(form, at)

    def _behind_rare(self, form: int, at: int) -> int:
        data = self.information.data
        if form == _ADDRESS:
            return at + self.address_size
        if form == _STRING:
            return data.index(0, at) + 1
        if form == _REFERENCE:
            return at + (self.offset_size if self.version > 2 else self.address_size)
        if form == _INDIRECT:
            return self._behind(*_leb(data, at))
        raise ValueError(f"form {form:#x} is not known")

    # The value, its form (that behind an indirect one), and where the next attribute begins.
    def _value(self, form: int, implicit: int, at: int) -> tuple[Any, int, int]:
        data = self.information.data
        if form == _INDIRECT:
            form, at = _leb(data, at)
        behind = self._behind(form, at)
        if form == _STRING:
            return data[at : behind - 1], form, behind
        if form == _IMPLICIT:
            return implicit, form, behind
        number = _leb(data, at)[0] if form in _LEB else int.from_bytes(data[at:behind], "little")
        if form == _SIGNED:
            width = 7 * (behind - at)
            number -= (number >> (width - 1)) << width
        return self._text(form, number), form, behind

    def _text(self, form: int, number: int) -> Any:
        information = self.information
        if form == _STRINGS:
            return _string(information.strings, number)
        if form == _LINE_STRINGS:
            return _string(information.line_strings, number)
        if form in _SUPPLEMENT_STRINGS:
            return _string(information.supplement.strings, number) if information.supplement else b""
        if form in _STRINGS_BY_INDEX:
            place = self._strings_from() + number * self.offset_size
            return _string(information.strings, _number(information.string_offsets, place, self.offset_size))
        return number

    # The unit's own entry says where its strings' offsets begin; its name may come before, so it is not read with it.
    def _strings_from(self) -> int:
        if self._string_base is None:
            self._string_base = 2 * self.offset_size
            top, at = self._abbreviation(self.first)
            for attribute, form, implicit in top.forms if top else ():
                if attribute == STRING_BASE:
                    self._string_base = int(self._value(form, implicit, at)[0])
                    break
                at = self._behind(form, at)
        return self._string_base


# Code of each abbreviation of a table, and its shape as the arguments of Shape.
def _abbreviations(data: bytes, at: int) -> Iterator[tuple[int, tuple[int, bool, tuple[tuple[int, int, int], ...]]]]:
    while True:
        code, at = _leb(data, at)
        if not code:
            return
        tag, at = _leb(data, at)
        children, at = data[at] != 0, at + 1
        forms = []
        while True:
            attribute, form = data[at], data[at + 1]
            if attribute < 0x80 and form < 0x80:
                at += 2
            else:
                attribute, at = _leb(data, at)
                form, at = _leb(data, at)
            implicit = 0
            if form == _IMPLICIT:
                start = at
                implicit, at = _leb(data, at)
                width = 7 * (at - start)
                implicit -= (implicit >> (width - 1)) << width
            if not attribute and not form:
                break
            forms.append((attribute, form, implicit))
        yield code, (tag, children, tuple(forms))


def _leb(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise ValueError("a number behind the end of a section")
    return int.from_bytes(data[at : at + size], "little")


def _string(data: bytes, at: int) -> bytes:
    return data[at : data.index(0, at)]
