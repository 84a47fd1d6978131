"""The sections of a file's debug information: decompressed, relocated, with those of the file that it shares."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datacrumbs.elf.file import READ_LIMIT, Elf, text_at
from datacrumbs.elf.symbol_tables import symbol_tables

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.elf.file import SectionHeader

_COMPRESSED, _ZLIB = 0x800, 1  # SHF_COMPRESSED, ELFCOMPRESS_ZLIB
_OLD_FORM = ".z"  # what GNU tools named compressed sections before there was a flag
_RELOCATION = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])
_NOTHING_TO_DO = 0
_WIDTHS = {"EM_X86_64": {1: 8, 10: 4, 11: 4}, "EM_AARCH64": {257: 8, 258: 4}}
"""Machine -> kind of relocation of data -> bytes that it sets."""


class DebugSections(NamedTuple):
    """The content of the sections that describe functions; empty for one that the file does not have."""

    info: bytes
    types: bytes
    abbreviations: bytes
    strings: bytes
    line_strings: bytes
    string_offsets: bytes
    supplement: DebugSections | None


def has_debug_sections(elf: Elf) -> bool:
    """Whether a file has debug information of its own."""
    return _named(elf, ".debug_info") is not None


def debug_sections(elf: Elf, folder: Path, *, follow: bool = True) -> DebugSections:
    """The debug information of a 64-bit little-endian file.

    Args:
        elf: The file.
        folder: The folder that it is in, for the file with what several files have in common.
        follow: Read that file, too.

    Raises:
        Exception: One of `ELF_PROBLEMS` for sections that are damaged or compressed in another way.
    """
    return DebugSections(
        info=_content(elf, ".debug_info"),
        types=_content(elf, ".debug_types"),
        abbreviations=_content(elf, ".debug_abbrev"),
        strings=_content(elf, ".debug_str"),
        line_strings=_content(elf, ".debug_line_str"),
        string_offsets=_content(elf, ".debug_str_offsets"),
        supplement=_supplement(elf, folder) if follow else None,
    )


def _supplement(elf: Elf, folder: Path) -> DebugSections | None:
    link = elf.section(".gnu_debugaltlink")
    if link is None:
        return None
    with (folder / text_at(elf.content(link), 0)).open("rb") as stream:
        return debug_sections(Elf(stream), folder, follow=False)


def _named(elf: Elf, name: str) -> SectionHeader | None:
    return elf.section(name) or elf.section(name.replace(".", _OLD_FORM, 1))


def _content(elf: Elf, name: str) -> bytes:
    header = _named(elf, name)
    if header is None:
        return b""
    data = elf.content(header)
    if header.flags & _COMPRESSED:
        kind, _, size, _ = struct.unpack_from("<IIQQ" if elf.bits == 64 else "<IIII", data)
        if kind != _ZLIB:
            raise ValueError("a section that is compressed in an unknown way")
        data = _expanded(data[24 if elf.bits == 64 else 12 :], size)
    elif elf.section(name) is None:
        data = _expanded(data[12:], int.from_bytes(data[4:12], "big"))
    return _relocated(elf, name, data)


def _expanded(data: bytes, size: int) -> bytes:
    if size > READ_LIMIT:
        raise ValueError("a section that expands to too much")
    expanded = zlib.decompressobj().decompress(data, size + 1)
    if len(expanded) != size:
        raise ValueError("a section that expands to something else than it says")
    return expanded


# What a compiler made refers to other sections, which a linker would have put together.
def _relocated(elf: Elf, name: str, data: bytes) -> bytes:
    header = elf.section(f".rela{name}")
    if header is None:
        return data
    rows = np.frombuffer(elf.content(header), _RELOCATION)
    values = next(table.rows["value"] for table in symbol_tables(elf) if not table.dynamic)
    changed = np.frombuffer(data, np.uint8).copy()
    widths = _WIDTHS[elf.machine]
    for kind in np.unique(rows["type"]).tolist():
        if kind == _NOTHING_TO_DO:
            continue
        those = rows[rows["type"] == kind]
        results = values[those["symbol"]].astype(np.int64) + those["addend"]
        for byte in range(widths[kind]):
            changed[those["offset"] + np.uint64(byte)] = results >> 8 * byte & 0xFF
    return changed.tobytes()
