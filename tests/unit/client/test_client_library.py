from __future__ import annotations

import ctypes
import subprocess

from elftools.elf.elffile import ELFFile

from datacrumbs.client import client_library, launcher
from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.placement import refused_places

MARKS = ("datacrumbs_mark", "datacrumbs_stop")
"""The probe points."""


def exported(path):
    with path.open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".dynsym").iter_symbols()
        return {s.name: (s["st_value"], s["st_size"]) for s in symbols if s["st_shndx"] != "SHN_UNDEF"}


def test_library_and_launcher_export_the_marks_at_addresses_of_their_own(library, wrap):
    for path in (library, wrap):
        symbols = exported(path)
        places = {symbols[name] for name in ("datacrumbs_start", *MARKS)}
        assert len({address for address, _ in places}) == 3
        assert all(size > 0 for _, size in places)


def test_library_exports_nothing_else_and_needs_nothing(library):
    assert set(exported(library)) == {"datacrumbs_start", *MARKS}
    with library.open("rb") as stream:
        elf = ELFFile(stream)
        assert not list(elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED"))
        symbols = list(elf.get_section_by_name(".dynsym").iter_symbols())[1:]
    # A weak symbol is no need: these tell glibc from others, and where others have the environment.
    undefined = {each.name: each["st_info"]["bind"] for each in symbols if each["st_shndx"] == "SHN_UNDEF"}
    assert undefined == {"gnu_get_libc_version": "STB_WEAK", "environ": "STB_WEAK"}


def test_marks_start_with_an_instruction_that_needs_no_single_step(library, wrap):
    for path in (library, wrap):
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            if elf["e_machine"] != "EM_X86_64":
                continue
            for name in MARKS:
                (offset,) = elf.address_offsets(exported(path)[name][0])
                stream.seek(offset)
                assert stream.read(1) == b"\x55", f"{path} {name} does not start with push"


def test_library_has_a_build_id(library, wrap):
    for path in (library, wrap):
        with path.open("rb") as stream:
            assert ELFFile(stream).get_section_by_name(".note.gnu.build-id") is not None


def test_a_program_can_start_and_stop_by_itself_and_keeps_errno(library, include, compiled):
    linked = (f"-I{include}", f"-L{library.parent}", "-ldatacrumbs_client", f"-Wl,-rpath,{library.parent}")
    for compiler in ("cc", "musl-gcc"):
        program = compiled(compiler, "marker", *linked)
        done = subprocess.run([program], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("7\n", "")


def test_library_loads_into_a_running_program(library):
    loaded = ctypes.CDLL(str(library))
    loaded.datacrumbs_start()
    loaded.datacrumbs_stop()


def test_both_come_from_one_installation(library, wrap):
    assert library == client_library()
    assert wrap == launcher()
    assert library.parents[2] == wrap.parents[1]


def test_marks_may_be_probed(library, wrap):
    for path in (library, wrap):
        marks = [each.offset for each in elf_functions(path) if each.name in MARKS]
        with path.open("rb") as stream:
            assert refused_places(stream, marks) == {}
        assert len(marks) == 2
