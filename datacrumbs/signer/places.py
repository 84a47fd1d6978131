"""Where an ELF file may be probed.

A uprobe writes a breakpoint over an instruction in every process that maps the file. At an
offset inside an instruction that breaks programs of all users, so the signer lets only places in that
the file itself declares: symbols of functions, starts of unwind entries, USDT probes and their
semaphores (a semaphore is a counter that the kernel increments in each process's memory).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from datacrumbs.elf.build_id import ELF_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

SECTION_LIMIT = 4096
SEGMENT_LIMIT = 256
BYTES_LIMIT = 256 << 20
STT_FUNC, STT_GNU_IFUNC = 2, 10
PF_X = 1
# A pointer encoding of .eh_frame_hdr: sorted pairs of 4-byte offsets from its own start (LSB core spec).
TABLE_OF_RELATIVE_PAIRS = 0x3B
SYMBOL_64, SYMBOL_32 = "IBBHQQ", "IIIBBH"


@dataclass(frozen=True, slots=True)
class Places:
    """File offsets that may be probed, those of USDT probes each with the offset of its semaphore, or 0."""

    functions: frozenset[int]
    usdt: frozenset[tuple[int, int]]


class Load(NamedTuple):
    """A loaded segment: its address, its file offset, its size in the file, whether code."""

    address: int
    offset: int
    size: int
    executable: bool


def probe_places(stream: BufferedReader) -> Places:
    """The places of an open ELF file; empty when it is not one or lies about its layout."""
    try:
        stream.seek(0)
        return _Elf(stream).places()
    except ELF_PROBLEMS:
        return Places(frozenset(), frozenset())


class _Elf:
    def __init__(self, stream: BufferedReader) -> None:
        self.file = ELFFile(stream)
        self.stream = stream
        self.order = "<" if self.file.little_endian else ">"
        self.wide = self.file.elfclass == 64
        segments = [self.file.get_segment(index) for index in range(min(self.file.num_segments(), SEGMENT_LIMIT))]
        self.loads = [
            Load(entry["p_vaddr"], entry["p_offset"], entry["p_filesz"], bool(entry["p_flags"] & PF_X))
            for entry in segments
            if entry["p_type"] == "PT_LOAD"
        ]
        self.unwind = [entry.header for entry in segments if entry["p_type"] == "PT_GNU_EH_FRAME"]

    def places(self) -> Places:
        functions = set(self._code(self._unwind_starts()))
        usdt: set[tuple[int, int]] = set()
        base = None
        notes = b""
        for index in range(min(self.file.num_sections(), SECTION_LIMIT)):
            section = self.file.get_section(index)
            if isinstance(section, SymbolTableSection):
                functions.update(self._code(self._function_symbols(section["sh_offset"], section["sh_size"])))
            elif section.name == ".stapsdt.base":
                base = section["sh_addr"]
            elif section.name == ".note.stapsdt":
                notes = self._read(section["sh_offset"], section["sh_size"])
        for address, noted_base, semaphore in self._usdt_notes(notes):
            # Prelink moves code but not notes; the base section tells by how much.
            moved = base - noted_base if base is not None else 0
            counters = self._file_offsets([semaphore + moved] if semaphore else [], executable=False)
            usdt.update(product(self._code([address + moved]), list(counters) or [0]))
        return Places(frozenset(functions), frozenset(usdt))

    def _read(self, offset: int, size: int) -> bytes:
        if size > BYTES_LIMIT:
            raise ValueError("section too large")
        self.stream.seek(offset)
        return self.stream.read(size)

    def _function_symbols(self, offset: int, size: int) -> Iterator[int]:
        form = struct.Struct(self.order + (SYMBOL_64 if self.wide else SYMBOL_32))
        data = self._read(offset, size)
        for fields in form.iter_unpack(data[: len(data) // form.size * form.size]):
            info, section, address = (
                (fields[1], fields[3], fields[4]) if self.wide else (fields[3], fields[5], fields[1])
            )
            if section and info & 0xF in {STT_FUNC, STT_GNU_IFUNC}:
                yield address

    def _unwind_starts(self) -> Iterator[int]:
        for header in self.unwind:
            data = self._read(header.p_offset, header.p_filesz)
            if len(data) < 12 or data[0] != 1 or data[2] != 3 or data[3] != TABLE_OF_RELATIVE_PAIRS:
                continue
            (count,) = struct.unpack_from(f"{self.order}I", data, 8)
            table = data[12 : 12 + 8 * count]
            for start, _ in struct.iter_unpack(f"{self.order}ii", table[: len(table) // 8 * 8]):
                yield header.p_vaddr + start

    # (address, base, semaphore) of each note; https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation
    def _usdt_notes(self, data: bytes) -> Iterator[tuple[int, int, int]]:
        form = struct.Struct(self.order + ("QQQ" if self.wide else "III"))
        position = 0
        while position + 12 <= len(data):
            name_size, content_size, kind = struct.unpack_from(f"{self.order}III", data, position)
            content = position + 12 + (name_size + 3) // 4 * 4
            if kind == 3 and content_size >= form.size and content + form.size <= len(data):
                address, base, semaphore = form.unpack_from(data, content)
                yield address, base, semaphore
            position = content + (content_size + 3) // 4 * 4

    def _code(self, addresses: Iterator[int] | list[int]) -> Iterator[int]:
        return self._file_offsets(addresses, executable=True)

    def _file_offsets(self, addresses: Iterator[int] | list[int], *, executable: bool) -> Iterator[int]:
        for address in addresses:
            for load in self.loads:
                if load.executable == executable and load.address <= address < load.address + load.size:
                    yield address - load.address + load.offset
