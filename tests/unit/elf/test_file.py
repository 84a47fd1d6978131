"""The ELF reader against another one, on files of several machines, and on files that lie about themselves."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from datacrumbs.elf.build_id import gnu_build_id
from datacrumbs.elf.file import ELF_PROBLEMS, Elf, Tag, notes_in, text_at
from datacrumbs.elf.symbol_tables import symbol_tables

SOURCE = """
extern int needed(void);
int first(int a) { return a + 1; }
int second(void) { return 2; }
static int third(void) { return 3; }
int (*keep)(void) = third;
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elf")
    (folder / "some.c").write_text(SOURCE)
    flags = ["-shared", "-nostdlib", "-Wl,--build-id", "-Wl,-soname,libsome.so.1"]
    subprocess.run(["gcc", "-fPIC", *flags, "-o", "narrow.so", "-m32", "some.c"], check=True, cwd=folder)
    subprocess.run(["gcc", "-fPIC", *flags, "-o", "wide.so", "some.c"], check=True, cwd=folder)
    subprocess.run(["gcc", "-c", "-o", "object.o", "some.c"], check=True, cwd=folder)
    (folder / "main.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-o", "program", "main.c", "-Wl,-rpath,/a:/b"], check=True, cwd=folder)
    return folder


# Symbols of sections have no name of their own.
def is_section(symbol):
    return symbol["st_info"]["type"] == "STT_SECTION"


def named(symbols):
    return [(name, value) for name, value in symbols if name]


@pytest.mark.parametrize("name", ["narrow.so", "wide.so", "object.o", "program"])
def test_it_reads_what_another_reader_reads(folder, name):
    with (folder / name).open("rb") as stream, (folder / name).open("rb") as other_stream:
        elf, other = Elf(stream), ELFFile(other_stream)
        assert (elf.bits, elf.machine, elf.entry) == (other.elfclass, other["e_machine"], other["e_entry"])
        assert [(one.offset, one.address, one.size, one.memory) for one in elf.segments] == [
            (one["p_offset"], one["p_vaddr"], one["p_filesz"], one["p_memsz"]) for one in other.iter_segments()
        ]
        assert [(text_at(elf.section_names, one.name), elf.content(one)) for one in elf.sections] == [
            (one.name, one.data() if one["sh_type"] != "SHT_NOBITS" else b"") for one in other.iter_sections()
        ]
        tables = [one for one in other.iter_sections() if isinstance(one, SymbolTableSection)]
        tables.sort(key=lambda table: table["sh_type"])  # the loader's first
        assert [
            named(zip(one.names(one.rows), one.rows["value"].tolist(), strict=True)) for one in symbol_tables(elf)
        ] == [
            named((each.name, each["st_value"]) for each in table.iter_symbols() if not is_section(each))
            for table in tables
        ]
        dynamic = next((one for one in other.iter_segments() if isinstance(one, DynamicSegment)), None)
        for tag, kind in ((Tag.NEEDED, "needed"), (Tag.SONAME, "soname"), (Tag.RUNPATH, "runpath")):
            expected = [getattr(one, kind) for one in dynamic.iter_tags(f"DT_{tag.name}")] if dynamic else []
            assert list(elf.dynamic_texts(tag)) == expected


def test_a_file_of_the_other_byte_order():
    header = b"\x7fELF" + bytes([2, 2, 1]) + bytes(9)
    header += struct.pack(">HHIQQQIHHHHHH", 3, 22, 1, 0x40, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    note = struct.pack(">III", 4, 8, 3) + b"GNU\0" + bytes(range(8))
    header += struct.pack(">IIQQQQQQ", 4, 4, 120, 120, 120, len(note), len(note), 4)
    elf = Elf(io.BytesIO(header + note))
    assert (elf.machine, elf.entry, elf.bits, elf.little_endian) == ("EM_S390", 0x40, 64, False)
    assert [one.content for one in elf.notes()] == [bytes(range(8))]


def test_more_segments_than_the_header_can_count_are_counted_by_the_first_section():
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 128, 64, 0, 64, 56, 0xFFFF, 64, 1, 0)
    section = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, 2, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0, 64, 64, 4096)
    assert [one.address for one in Elf(io.BytesIO(header + section + 2 * segment)).segments] == [0x1000, 0x1000]


# Everything that the class gives is asked for, and either given or refused as a damaged file.
def ask_everything(content: bytes) -> None:
    elf = Elf(io.BytesIO(content))
    for ask in (
        lambda: [elf.content(each) for each in elf.segments],
        lambda: [elf.content(each) for each in elf.sections],
        lambda: [elf.section(name) for name in (".text", ".absent")],
        lambda: list(elf.notes()),
        lambda: elf.interpreter,
        lambda: [elf.dynamic_texts(tag) for tag in (Tag.NEEDED, Tag.SONAME)],
        lambda: [one.names(one.rows) for one in symbol_tables(elf)],
    ):
        try:
            ask()
        except ELF_PROBLEMS:
            continue


@pytest.mark.parametrize("name", ["narrow.so", "wide.so"])
def test_no_length_and_no_place_is_trusted(folder, name):
    whole = (folder / name).read_bytes()
    with (folder / name).open("rb") as stream:
        elf = Elf(stream)
        tables = [one.offset for one in elf.segments] + [one.offset for one in elf.sections]
    width = len(whole)
    places = {*range(16, 64), *range(64, 64 + 56 * 8, 3), *range(width - 64 * 12, width, 5), *tables}
    for place in sorted(places):
        for value in (0, 0xFF):
            changed = bytearray(whole)
            changed[place : place + 4] = bytes([value]) * 4
            try:
                ask_everything(bytes(changed))
            except ELF_PROBLEMS:
                continue
    for length in range(0, width, 499):
        try:
            ask_everything(whole[:length])
        except ELF_PROBLEMS:
            continue


def test_what_a_file_claims_to_have_is_not_allocated(tmp_path):
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    header += struct.pack("<IIQQQQQQ", 4, 4, 0, 0, 0, 1 << 19, 1 << 62, 4)
    path = tmp_path / "claims"
    path.write_bytes(header)
    with path.open("rb") as stream:
        assert gnu_build_id(stream) == ""
        with pytest.raises(ValueError, match="524288 bytes at 0"):
            Elf(stream).content(Elf(stream).segments[0])
        for offset, size in ((-1, 4), (0, -4), (1 << 64, 1), (0, 1 << 40)):
            with pytest.raises(ValueError, match="bytes at"):
                Elf(stream).read(offset, size)


def test_notes_end_at_the_first_that_does_not_fit():
    note = struct.pack("<III", 4, 4, 1) + b"one\0" + b"1234"
    for rest in (b"", b"short", struct.pack("<III", 4, 0xFFFFFFFF, 1), struct.pack("<III", 0xFFFFFFFF, 0, 1)):
        assert [one.content for one in notes_in(note + rest, "<")] == [b"1234"]


def test_only_texts_of_the_dynamic_section_that_end_are_given(folder):
    whole = bytearray((folder / "wide.so").read_bytes())
    elf = Elf(io.BytesIO(bytes(whole)))
    assert elf.dynamic_texts(Tag.SONAME) == ("libsome.so.1",)
    with (folder / "program").open("rb") as stream:
        assert Elf(stream).dynamic_texts(Tag.RUNPATH) == ("/a:/b",)
        assert Path(Elf(stream).interpreter).is_file()
