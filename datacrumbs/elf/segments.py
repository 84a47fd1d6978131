"""An ELF file as it is in memory: its segments, and the addresses at which its functions start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from datacrumbs.elf.file import Elf, FileType, SegmentType
from datacrumbs.elf.symbol_tables import ABSOLUTE, UNDEFINED, symbol_tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from datacrumbs.elf.symbol_tables import SymbolTable

SIZE_LIMIT = 512 << 20
"""Bytes of all segments of a file that are taken."""
_DATA = (1, 5, 6)  # STT_OBJECT, STT_COMMON, STT_TLS
_TABLE_VERSION, _TABLE_COUNT, _TABLE_PAIRS = 1, 0x03, 0x3B  # pairs of 4-byte offsets from the table's own start


@dataclass(frozen=True, slots=True)
class Segment:
    """A loaded segment: where it is in memory and in the file, its bytes in the file, and whether it is code."""

    address: int
    offset: int
    content: NDArray[np.uint8]
    executable: bool

    @property
    def end(self) -> int:
        """The address behind its last byte of the file."""
        return self.address + len(self.content)


@dataclass(frozen=True, slots=True)
class ProgramImage:
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
        constants: Ranges of addresses (the end excluded) that are not written once the program is loaded.
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


def read_image(stream: BinaryIO) -> ProgramImage:
    """Take an ELF file apart.

    Raises:
        Exception: One of `ELF_PROBLEMS` for what is no 64-bit little-endian ELF file, gives a false layout or
            has more than `SIZE_LIMIT` bytes to load.
    """
    elf = Elf(stream)
    return image_of(elf, symbol_tables(elf))


def image_of(elf: Elf, tables: Iterable[SymbolTable]) -> ProgramImage:
    """The same of an open file and its symbol tables."""
    if elf.bits != 64 or not elf.little_endian:
        raise ValueError("not a 64-bit little-endian ELF file")
    loads = [each for each in elf.loads if each.size and each.offset + each.size <= elf.size]
    if sum(each.size for each in loads) > SIZE_LIMIT:
        raise ValueError("too large")
    segments = tuple(
        Segment(each.address, each.offset, np.frombuffer(elf.content(each), np.uint8), each.executable)
        for each in loads
    )
    table = unwind_table(elf)
    found = np.concatenate([_starts(tables), table[:, 0], np.array([elf.entry], np.int64)])
    inside = np.zeros(len(found), bool)
    for segment in segments:
        if segment.executable:
            inside |= (found >= segment.address) & (found < segment.end)
    frames = elf.section(".eh_frame")
    protected = (each for each in elf.segments if each.type == SegmentType.PROTECTED)
    return ProgramImage(
        machine=elf.machine,
        fixed=elf.type == FileType.PROGRAM,
        entry=elf.entry,
        segments=segments,
        starts=np.unique(found[inside]),
        unwind=table[:, 1],
        described=table[:, 0],
        frames=(frames.address, frames.size) if frames is not None else (0, 0),
        constants=tuple((each.address, each.address + each.memory) for each in protected),
    )


# Labels of hand-written code have no type, so all symbols count but those of data.
def _starts(tables: Iterable[SymbolTable]) -> NDArray[np.int64]:
    found = [np.zeros(0, np.int64)]
    for table in tables:
        rows = table.rows
        placed = ~np.isin(rows["section"], (UNDEFINED, ABSOLUTE)) & ~np.isin(rows["info"] & 0xF, _DATA)
        found.append(rows["value"][placed].astype(np.int64))
    return np.concatenate(found)


def unwind_table(elf: Elf) -> NDArray[np.int64]:
    """Addresses of the described functions and of their entries, one row each; ValueError for a damaged table."""
    found = [np.zeros((0, 2), np.int64)]
    for each in elf.segments:
        if each.type != SegmentType.UNWIND:
            continue
        data = elf.content(each)
        if len(data) < 12 or (data[0], data[2], data[3]) != (_TABLE_VERSION, _TABLE_COUNT, _TABLE_PAIRS):
            continue
        count = int(np.frombuffer(data, f"{elf.order}u4", 1, 8)[0])
        pairs = np.frombuffer(data, f"{elf.order}i4", 2 * count, 12).astype(np.int64).reshape(-1, 2)
        found.append(pairs + each.address)
    return np.concatenate(found)
