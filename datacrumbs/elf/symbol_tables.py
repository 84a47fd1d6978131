"""Symbol tables of ELF files, and where in the file addresses are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datacrumbs.elf.file import SectionType, text_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from datacrumbs.elf.file import Elf, ProgramHeader, SectionHeader

FUNCTIONS = (2, 10)
"""Types of functions: plain, and indirect by a resolver."""
INDIRECT = 10
PUBLIC = (1, 2, 10)
"""Bindings that other files see: global, weak, unique."""
UNDEFINED, ABSOLUTE = 0, 0xFFF1
"""Sections of symbols that are in no section of the file."""
TABLE_LIMIT = 16

_FIELDS = [("name", "u4"), ("info", "u1"), ("other", "u1"), ("section", "u2"), ("value", "u8"), ("size", "u8")]
_FIELDS_32 = [("name", "u4"), ("value", "u4"), ("size", "u4"), ("info", "u1"), ("other", "u1"), ("section", "u2")]
SYMBOL = np.dtype(_FIELDS)
"""A symbol, as 64-bit files have it."""


class SymbolTable(NamedTuple):
    """One symbol table: its section, its rows of `SYMBOL`, and the strings that its names are in."""

    header: SectionHeader
    rows: NDArray[np.void]
    strings: bytes

    @property
    def dynamic(self) -> bool:
        """Whether it is the one that the loader uses."""
        return self.header.type == SectionType.DYNAMIC_SYMBOLS

    def names(self, rows: NDArray[np.void]) -> list[str]:
        """The names of some of its rows, with their versions where the file spells them out."""
        return [text_at(self.strings, start) for start in rows["name"].tolist()]

    def address(self, name: str) -> int | None:
        """Where a symbol of this name is defined; None when it is not."""
        text, at = name.encode() + b"\0", -1
        # A name can also be the end of a longer one's text.
        while (at := self.strings.find(text, at + 1)) >= 0:
            found = self.rows[(self.rows["name"] == at) & (self.rows["section"] != UNDEFINED)]
            if len(found):
                return int(found[0]["value"])
        return None


def symbol_tables(elf: Elf) -> tuple[SymbolTable, ...]:
    """The symbol tables of a file, the loader's first; one of `ELF_PROBLEMS` where they are damaged."""
    kinds = (SectionType.DYNAMIC_SYMBOLS, SectionType.SYMBOLS)
    headers = [header for kind in kinds for header in elf.sections if header.type == kind]
    if len(headers) > TABLE_LIMIT:
        raise ValueError(f"{len(headers)} symbol tables")
    return tuple(SymbolTable(header, _rows(elf, header), elf.linked(header)) for header in headers)


def _rows(elf: Elf, header: SectionHeader) -> NDArray[np.void]:
    form = np.dtype(_FIELDS if elf.bits == 64 else _FIELDS_32).newbyteorder(elf.order)
    rows = np.frombuffer(elf.content(header), form)
    if form == SYMBOL:
        return rows
    same = np.zeros(len(rows), SYMBOL)
    for field, _ in _FIELDS:
        same[field] = rows[field]
    return same


def is_function(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which symbols are of functions that the file defines."""
    wanted: NDArray[np.bool_] = np.isin(rows["info"] & 0xF, FUNCTIONS) & (rows["section"] != UNDEFINED)
    return wanted


def is_public(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which symbols other files see."""
    return np.isin(rows["info"] >> 4, PUBLIC)


def file_offsets(addresses: NDArray[np.uint64], loads: Iterable[ProgramHeader]) -> NDArray[np.int64]:
    """File offsets of virtual addresses, shape (n,); -1 where an address is in none of these segments."""
    offsets = np.full(len(addresses), -1, np.int64)
    for each in loads:
        inside = (addresses >= each.address) & (addresses < each.address + each.size)
        offsets[inside] = (addresses[inside] - np.uint64(each.address) + np.uint64(each.offset)).astype(np.int64)
    return offsets
