from __future__ import annotations

import subprocess

import pytest

from datacrumbs.elf.debug_sections import debug_sections, has_debug_sections
from datacrumbs.elf.file import Elf, open_elf


def sections_of(path):
    with open_elf(path) as elf:
        return debug_sections(elf, path.parent)


def test_a_stripped_file_has_none(described):
    with open_elf(described / "libstripped.so") as elf:
        assert not has_debug_sections(elf)
    assert not any(sections_of(described / "libstripped.so"))


@pytest.mark.parametrize("form", ["zlib", "zlib-gnu"])
def test_compressed_sections_expand_to_what_they_were(described, tmp_path, form):
    packed = tmp_path / "packed.so"
    subprocess.run(
        ["objcopy", f"--compress-debug-sections={form}", described / "libsome.so", packed], check=True, cwd=tmp_path
    )
    expected = sections_of(described / "libsome.so")
    assert expected.info
    assert expected.strings
    assert sections_of(packed) == expected


def test_a_section_that_expands_to_more_than_it_says_is_refused(described, tmp_path):
    packed = tmp_path / "packed.so"
    command = ["objcopy", "--compress-debug-sections=zlib", described / "libsome.so", packed]
    subprocess.run(command, check=True)
    with packed.open("rb") as stream:
        header = Elf(stream).section(".debug_str")
    assert header is not None
    for size in (b"\1" + bytes(7), b"\xff" * 8):
        content = bytearray(packed.read_bytes())
        content[header.offset + 8 : header.offset + 16] = size
        (tmp_path / "lies.so").write_bytes(content)
        with (tmp_path / "lies.so").open("rb") as stream, pytest.raises(ValueError, match="expands to"):
            debug_sections(Elf(stream), tmp_path)


def test_the_file_with_what_several_files_share_is_read_from_beside(described, tmp_path):
    (tmp_path / "link").write_bytes(b"common.debug\0" + bytes(20))
    linked, common = tmp_path / "linked.so", tmp_path / "common.debug"
    command = ["objcopy", "--add-section", f".gnu_debugaltlink={tmp_path / 'link'}", described / "libsome.so", linked]
    subprocess.run(command, check=True)
    with pytest.raises(FileNotFoundError), linked.open("rb") as stream:
        debug_sections(Elf(stream), tmp_path)
    common.write_bytes((described / "libsome.so").read_bytes())
    assert sections_of(linked).supplement == sections_of(common)
