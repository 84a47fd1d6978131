"""An ELF file as it lies in memory: its segments, and the addresses at which its functions start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from elftools.elf.elffile import ELFFile

from datacrumbs.elf.functions import SEGMENT, SYMBOL, section_headers

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE_LIMIT = 512 << 20
_PT_LOAD = 1
_PT_GNU_EH_FRAME = 0x6474E550
_PT_GNU_RELRO = 0x6474E552
_PF_X = 1
_SYMBOL_TABLES = (2, 11)
_NO_SECTIONS = (0, 0xFFF1)  # undefined, absolute
_OBJECTS = (1, 5, 6)  # STT_OBJECT, STT_COMMON, STT_TLS
_RELATIVE_PAIRS = 0x3B  # sorted pairs of 4-byte offsets from the table's own start (LSB core specification)


@dataclass(frozen=True, slots=True)
class Segment:
    """A loaded segment: where it lies in memory and in the file, its bytes in the file, and whether it is code."""

    address: int
    offset: int
    content: NDArray[np.uint8]
    executable: bool

    @property
    def end(self) -> int:
        """The address behind its last byte of the file."""
        return self.address + len(self.content)


@dataclass(frozen=True, slots=True)
class Image:
    """What a program loader makes of an ELF file.

    Args:
        machine: ``EM_X86_64`` and the like.
        fixed: True when it is loaded where it says, so that code may hold addresses of 32 bits.
        entry: Address at which the kernel starts the program, or its loader.
        segments: All that is loaded from the file.
        starts: Sorted addresses in code at which something starts: symbols, unwind entries, the entry point.
        unwind: Addresses of the unwind entries, as the sorted table of the file has them.
        described: Addresses of the functions that these entries are of.
        frames: Address and size of the unwind entries themselves, for files without a table (static programs).
        constants: Ranges of addresses (the end excluded) that nobody writes once the program is loaded.
    """

    machine: str
    fixed: bool
    entry: int
    segments: tuple[Segment, ...]
    starts: NDArray[np.int64]
    unwind: NDArray[np.int64]
    described: NDArray[np.int64]
    frames: tuple[int, int]
    constants: tuple[tuple[int, int], ...]

    def code_at(self, address: int) -> Segment | None:
        """The segment of code that holds an address."""
        return next((each for each in self.segments if each.executable and each.address <= address < each.end), None)

    def address_of(self, offset: int) -> int | None:
        """The address of a place in the file's code."""
        for each in self.segments:
            if each.executable and each.offset <= offset < each.offset + len(each.content):
                return offset - each.offset + each.address
        return None

    def is_constant(self, address: int) -> bool:
        """Whether the eight bytes at an address are the loader's, which protects them before the program runs."""
        return any(start <= address <= end - 8 for start, end in self.constants)

    def read(self, address: int, size: int) -> bytes:
        """Bytes of memory as the file has them; ValueError where it has none."""
        for each in self.segments:
            if each.address <= address and address + size <= each.end:
                return each.content[address - each.address : address - each.address + size].tobytes()
        raise ValueError("not in the file")


def read_image(stream: BinaryIO) -> Image:
    """Take an ELF file apart.

    Raises:
        Exception: One of `ELF_PROBLEMS` for what is no 64-bit little-endian ELF file, lies about its layout or
            is larger than `FILE_LIMIT`.
    """
    stream.seek(0)
    elf = ELFFile(stream)
    if elf.elfclass != 64 or not elf.little_endian:
        raise ValueError("not a 64-bit little-endian ELF file")
    stream.seek(0)
    content = stream.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise ValueError("too large")
    count, start = elf.num_segments(), elf["e_phoff"]
    rows = np.frombuffer(content, SEGMENT, count, start).tolist()
    segments = tuple(
        Segment(address, offset, np.frombuffer(content, np.uint8, size, offset), bool(flags & _PF_X))
        for kind, flags, offset, address, _physical, size, _memory, _align in rows
        if kind == _PT_LOAD and size and offset + size <= len(content)
    )
    headers = [(row[3], row[2], row[5]) for row in rows if row[0] == _PT_GNU_EH_FRAME]
    pairs = [_unwind_pairs(content, *header) for header in headers]
    table = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    found = np.concatenate([_symbols(elf, content), table[:, 0], np.array([elf["e_entry"]], np.int64)])
    inside = np.zeros(len(found), bool)
    for segment in segments:
        if segment.executable:
            inside |= (found >= segment.address) & (found < segment.end)
    return Image(
        machine=elf["e_machine"],
        fixed=elf["e_type"] == "ET_EXEC",
        entry=elf["e_entry"],
        segments=segments,
        starts=np.unique(found[inside]),
        unwind=table[:, 1],
        described=table[:, 0],
        frames=_section(elf, b".eh_frame"),
        constants=tuple((row[3], row[3] + row[6]) for row in rows if row[0] == _PT_GNU_RELRO),
    )


def _section(elf: ELFFile, name: bytes) -> tuple[int, int]:
    sections = section_headers(elf)
    if elf["e_shstrndx"] >= len(sections):
        return 0, 0
    names = sections[elf["e_shstrndx"]]
    elf.stream.seek(int(names["offset"]))
    place = elf.stream.read(int(names["size"])).find(b"\0" + name + b"\0") + 1
    found = sections[(sections["name"] == place) & (place > 0)]
    return (int(found[0]["address"]), int(found[0]["size"])) if len(found) else (0, 0)


# Labels of hand-written code have no type, so all symbols count but those of data.
def _symbols(elf: ELFFile, content: bytes) -> NDArray[np.int64]:
    sections = section_headers(elf)
    found = [np.zeros(0, np.int64)]
    for section in sections[np.isin(sections["type"], _SYMBOL_TABLES)]:
        table = np.frombuffer(content, SYMBOL, int(section["size"]) // SYMBOL.itemsize, int(section["offset"]))
        placed = ~np.isin(table["section"], _NO_SECTIONS) & ~np.isin(table["info"] & 0xF, _OBJECTS)
        found.append(table["value"][placed].astype(np.int64))
    return np.concatenate(found)


# Start of the function and address of its entry, one row each.
def _unwind_pairs(content: bytes, address: int, offset: int, size: int) -> NDArray[np.int64]:
    header = content[offset : offset + size]
    if len(header) < 12 or header[0] != 1 or header[2] != 3 or header[3] != _RELATIVE_PAIRS:
        return np.zeros((0, 2), np.int64)
    count = int.from_bytes(header[8:12], "little")
    return np.frombuffer(header, "<i4", 2 * count, 12).astype(np.int64).reshape(-1, 2) + address
