"""One ELF file: its headers, segments, sections, notes and dynamic section, of any machine.

Every length and place that the file claims is checked against the file before anything is read. Formats are those of
the System V ABI, chapters 4 and 5.
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from datacrumbs.errors import usage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_LIMIT = 512 << 20
"""Bytes that are read at once."""
SECTION_LIMIT = 1 << 17
PROGRAM_HEADERS_LIMIT = 1 << 16
"""Bytes of all program headers; Linux starts no program with more."""
NOTE_LIMIT = 1 << 20
TEXT_LIMIT = 4096

ELF_PROBLEMS = (ValueError, struct.error, KeyError, IndexError, OverflowError, MemoryError, OSError)
"""What reading a damaged file raises; a disk's own error is among them."""

DF_1_PIE = 0x08000000
EXECUTABLE = 1  # PF_X
_EXTENDED_COUNT, _EXTENDED_INDEX = 0xFFFF, 0xFFFF  # PN_XNUM, SHN_XINDEX: the first section header has the number
_MACHINES = {
    3: "EM_386", 8: "EM_MIPS", 20: "EM_PPC", 21: "EM_PPC64", 22: "EM_S390", 40: "EM_ARM", 62: "EM_X86_64",
    183: "EM_AARCH64", 243: "EM_RISCV", 258: "EM_LOONGARCH",
}  # fmt: skip


class FileType(IntEnum):
    """Kinds of files that programs and libraries are."""

    PROGRAM = 2
    SHARED = 3


class SegmentType(IntEnum):
    """Kinds of segments."""

    LOAD = 1
    DYNAMIC = 2
    INTERPRETER = 3
    NOTE = 4
    UNWIND = 0x6474E550
    PROTECTED = 0x6474E552


class SectionType(IntEnum):
    """Kinds of sections."""

    SYMBOLS = 2
    ADDENDS = 4
    NO_BITS = 8
    DYNAMIC_SYMBOLS = 11
    VERSION_DEFINITIONS = 0x6FFFFFFD
    VERSIONS = 0x6FFFFFFF


class Tag(IntEnum):
    """Tags of the dynamic section."""

    END = 0
    NEEDED = 1
    STRINGS = 5
    SONAME = 14
    RPATH = 15
    RUNPATH = 29
    DEPENDENCY_AUDIT = 0x6FFFFEFB
    AUDIT = 0x6FFFFEFC
    FLAGS_1 = 0x6FFFFFFB


class ProgramHeader(NamedTuple):
    """What a file says of a segment; ``size`` is that in the file."""

    type: int
    flags: int
    offset: int
    address: int
    size: int
    memory: int
    alignment: int

    @property
    def executable(self) -> bool:
        """Whether it is code."""
        return bool(self.flags & EXECUTABLE)


class SectionHeader(NamedTuple):
    """What a file says of a section; ``name`` is a place in the table of names."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int


class ElfNote(NamedTuple):
    """One note: who defined its meaning, which of its kinds it is, and its content."""

    owner: bytes
    kind: int
    content: bytes


class Elf:
    """An ELF file that is open for reading; its position is changed.

    Args:
        stream: The file. It is read when something is asked for, and must stay open.

    Raises:
        ValueError: It is no ELF file, or its header is damaged.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, os.SEEK_END)
        magic, word, order = struct.unpack("4sBB", self.read(0, 6))
        if magic != b"\x7fELF" or word not in {1, 2} or order not in {1, 2}:
            raise ValueError("no ELF file")
        self.bits = 32 * word
        self.little_endian = order == 1
        self.order: Literal["<", ">"] = "<" if self.little_endian else ">"
        form = "HHIQQQIHHHHHH" if self.bits == 64 else "HHIIIIIHHHHHH"
        self.type, machine, _, self.entry, *self._tables = self._unpack(form, 16)
        self.machine = _MACHINES.get(machine, f"EM_{machine}")

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file.

        Raises:
            ValueError: The file does not have them, or they are more than `READ_LIMIT`.
        """
        if not 0 <= offset <= offset + size <= self.size or size > READ_LIMIT:
            raise ValueError(f"{size} bytes at {offset} of a file of {self.size} bytes")
        self._stream.seek(offset)
        data = self._stream.read(size)
        if len(data) != size:
            raise ValueError("the file was cut short while it was read")
        return data

    def content(self, header: ProgramHeader | SectionHeader) -> bytes:
        """The bytes of a segment or section; ValueError when the file does not have them."""
        if isinstance(header, SectionHeader) and header.type == SectionType.NO_BITS:
            return b""
        return self.read(header.offset, header.size)

    @cached_property
    def segments(self) -> tuple[ProgramHeader, ...]:
        """All segments, in the order of the file; ValueError for a damaged table."""
        start, _, _, _, entry_size, count, *_ = self._tables
        if count == _EXTENDED_COUNT:
            count = self._first_section().info
        form = struct.Struct(self.order + ("IIQQQQQQ" if self.bits == 64 else "IIIIIIII"))
        if count and (entry_size != form.size or count * form.size > PROGRAM_HEADERS_LIMIT):
            raise ValueError("a damaged table of segments")
        rows = form.iter_unpack(self.read(start, count * form.size) if count else b"")
        if self.bits == 64:
            return tuple(ProgramHeader(*row[:4], *row[5:]) for row in rows)
        return tuple(ProgramHeader(row[0], row[6], row[1], row[2], row[4], row[5], row[7]) for row in rows)

    @cached_property
    def sections(self) -> tuple[SectionHeader, ...]:
        """All sections, in the order of the file; none where the file has no table of them."""
        _, start, *_, entry_size, count, _ = self._tables
        form = struct.Struct(self.order + self._section_form)
        if not start or entry_size != form.size:
            return ()
        count = count or self._first_section().size
        if count > SECTION_LIMIT:
            raise ValueError(f"{count} sections")
        return tuple(SectionHeader(*row[:8]) for row in form.iter_unpack(self.read(start, count * form.size)))

    @cached_property
    def section_names(self) -> bytes:
        """The table of the sections' names; empty without one."""
        index = self._tables[-1]
        if index == _EXTENDED_INDEX and self.sections:
            index = self.sections[0].link
        return self.content(self.sections[index]) if 0 < index < len(self.sections) else b""

    def section(self, name: str) -> SectionHeader | None:
        """The first section of this name."""
        text = name.encode() + b"\0"
        return next((each for each in self.sections if self.section_names.startswith(text, each.name)), None)

    def linked(self, header: SectionHeader) -> bytes:
        """The content of the section that this one refers to: a table's strings."""
        return self.content(self.sections[header.link])

    @cached_property
    def loads(self) -> tuple[ProgramHeader, ...]:
        """The segments that are loaded."""
        return tuple(each for each in self.segments if each.type == SegmentType.LOAD)

    def read_memory(self, address: int, size: int) -> bytes:
        """At most this many bytes of what is loaded at an address; empty where it is not from the file."""
        for each in self.loads:
            if each.address <= address < each.address + each.size:
                place = address - each.address
                return self.read(each.offset + place, min(size, each.size - place))
        return b""

    def notes(self) -> Iterator[ElfNote]:
        """The notes that are loaded with the file."""
        for each in self.segments:
            if each.type == SegmentType.NOTE and each.size <= NOTE_LIMIT:
                yield from notes_in(self.content(each), self.order, 8 if each.alignment == 8 else 4)

    @cached_property
    def interpreter(self) -> str:
        """The loader that the kernel starts the program with; empty for libraries and static programs."""
        found = next((each for each in self.segments if each.type == SegmentType.INTERPRETER), None)
        return "" if found is None else text_at(self.read(found.offset, min(found.size, TEXT_LIMIT)), 0)

    @cached_property
    def dynamic(self) -> tuple[tuple[int, int], ...] | None:
        """Tags and values of the dynamic section; None without one."""
        found = next((each for each in self.segments if each.type == SegmentType.DYNAMIC), None)
        if found is None:
            return None
        data = self.content(found)
        form = struct.Struct(self.order + ("QQ" if self.bits == 64 else "II"))
        rows = []
        for tag, value in form.iter_unpack(data[: len(data) // form.size * form.size]):
            if tag == Tag.END:
                break
            rows.append((tag, value))
        return tuple(rows)

    def dynamic_values(self, tag: Tag) -> tuple[int, ...]:
        """The values of a tag, in the order of the file."""
        return tuple(value for each, value in self.dynamic or () if each == tag)

    def dynamic_texts(self, tag: Tag) -> tuple[str, ...]:
        """The texts of a tag; ValueError where one does not end."""
        places = [start + value for start in self.dynamic_values(Tag.STRINGS)[:1] for value in self.dynamic_values(tag)]
        return tuple(text_at(self.read_memory(place, TEXT_LIMIT), 0) for place in places)

    @property
    def _section_form(self) -> str:
        return "IIQQQQIIQQ" if self.bits == 64 else "10I"

    def _first_section(self) -> SectionHeader:
        return SectionHeader(*self._unpack(self._section_form, self._tables[1])[:8])

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        return struct.unpack(self.order + form, self.read(offset, struct.calcsize(self.order + form)))


def machine_of(name: str) -> str:
    """`Elf.machine` of the programs of a machine, by what ``uname -m`` says; empty for one that is not known here."""
    return {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64", "ppc64le": "EM_PPC64", "riscv64": "EM_RISCV"}.get(name, "")


def notes_in(data: bytes, order: str, alignment: int = 4) -> Iterator[ElfNote]:
    """The notes of a segment or section, up to the first that does not fit.

    Args:
        data: Its content.
        order: ``<`` or ``>``, as `struct` has it.
        alignment: Bytes that the parts of a note are a multiple of.
    """
    position = 0
    while position + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(f"{order}III", data, position)
        name = position + 12
        start = name + -(-name_size // alignment) * alignment
        if start + size > len(data):
            return
        yield ElfNote(data[name : name + name_size], kind, data[start : start + size])
        position = start + -(-size // alignment) * alignment


def text_at(strings: bytes, start: int) -> str:
    """A text of a table of strings; ValueError where none ends."""
    return strings[start : strings.index(b"\0", start)].decode("utf-8", "surrogateescape")


@contextmanager
def open_elf(path: Path | str | int) -> Iterator[Elf]:
    """Open a 64-bit little-endian ELF file; reading a broken one within the block is the same clear error.

    Args:
        path: Its path, or the descriptor of a file that is open already and stays open.

    Raises:
        DatacrumbsError: (exit 2) when the file is missing, unreadable or no such ELF file.
    """
    try:
        with Path(path).open("rb") if not isinstance(path, int) else open(path, "rb", closefd=False) as stream:
            elf = Elf(stream)
            if elf.bits != 64 or not elf.little_endian:
                raise usage_error(f"{path}: not a 64-bit little-endian ELF file", "only 64-bit programs can be probed")
            yield elf
    except OSError as error:
        raise usage_error(f"{path}: cannot be read: {error}", "name a readable ELF file") from None
    except ELF_PROBLEMS as error:
        raise usage_error(f"{path}: not a readable ELF file: {error}", "name a program or a shared library") from None
