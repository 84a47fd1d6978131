"""Which MPI a library is, and whether its datatypes are laid out as our snippets expect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.file import open_elf
from datacrumbs.elf.symbol_tables import symbol_tables

if TYPE_CHECKING:
    from datacrumbs.elf.file import Elf
    from datacrumbs.elf.symbol_tables import SymbolTable

OPENMPI_SIZE_OFFSET = 24
"""Where ``openmpi_transfer*.bpf.c`` read the size in an Open MPI datatype, in bytes."""

# Predefined types whose sizes the C ABI of 64-bit Linux fixes. No two neighbours in the object have these values.
_KNOWN_SIZES = {
    "ompi_mpi_char": 1,
    "ompi_mpi_short": 2,
    "ompi_mpi_int": 4,
    "ompi_mpi_double": 8,
    "ompi_mpi_c_double_complex": 16,
}
_OBJECT_BYTES = 64
_VERSION = re.compile(rb"\d+\.\d+(\.\d+)?[\w.+-]{0,16}")
# The release is a string of its own, with or without the v of its tag.
_OPENMPI_VERSION = re.compile(rb"\0v?(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)\0")

_LONE_RELEASE = re.compile(rb"\0([3-9]\.\d+\.\d+(?:(?:a|b|rc)\d+)?)\0")


@dataclass(frozen=True, slots=True)
class Implementation:
    """An MPI library as it is on this machine.

    Args:
        name: ``Open MPI``, ``MPICH``, ``Fortran bindings`` or ``MPI``.
        version: As the library says, or empty.
        snippets: Prefix of the snippets that know its datatypes; empty when none does.
        problem: Why there is no such snippet; empty when there is one.
    """

    name: str
    version: str = ""
    snippets: str = ""
    problem: str = ""

    @property
    def label(self) -> str:
        """For ``--list``."""
        return f"{self.name} {self.version}".strip()


def identify(path: Path | str) -> Implementation:
    """Recognise an MPI library by what it exports.

    Raises:
        DatacrumbsError: (exit 2) when the file is no readable ELF file.
    """
    state = Path(path).stat()
    return _identify(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _identify(path: str, _modified: int, _size: int) -> Implementation:
    with open_elf(path) as elf:
        symbols = next((table for table in symbol_tables(elf) if table.dynamic), None)
        if symbols is None or not len(symbols.rows):
            return Implementation("MPI", problem="the library has no dynamic symbols")
        if symbols.address("ompi_mpi_int") is not None:
            return _open_mpi(elf, symbols)
        if symbols.address("MPI_File_open") is None and symbols.address("mpi_file_open_") is not None:
            return Implementation("Fortran bindings")
        if symbols.address("MPIR_Err_create_code") is not None or symbols.address("MPII_Version_string") is not None:
            return _mpich(elf, symbols, Path(path).name)
    return Implementation("MPI", problem="an implementation that the provider does not know")


def _open_mpi(elf: Elf, symbols: SymbolTable) -> Implementation:
    match = _OPENMPI_VERSION.search(_constants(elf))
    version = match[1].decode("ascii") if match else ""
    offset = _size_offset(elf, symbols)
    if offset != OPENMPI_SIZE_OFFSET:
        found = "nowhere" if offset is None else f"at {offset}"
        problem = f"datatypes keep their size {found}, not at {OPENMPI_SIZE_OFFSET}: transfers have no bytes"
        return Implementation("Open MPI", version, problem=problem)
    return Implementation("Open MPI", version, "openmpi")


# Open MPI initialises its predefined datatypes statically, so the file itself shows where the size is.
def _size_offset(elf: Elf, symbols: SymbolTable) -> int | None:
    candidates = np.ones(_OBJECT_BYTES // 8, bool)
    for name, size in _KNOWN_SIZES.items():
        content = _content(elf, symbols, name, _OBJECT_BYTES)
        if len(content) != _OBJECT_BYTES:
            return None
        candidates &= np.frombuffer(content, "<u8") == size
    places = np.flatnonzero(candidates)
    # `true_ub` and `ub` of a basic type equal its size; the size comes first.
    return int(places[0]) * 8 if len(places) else None


def _mpich(elf: Elf, symbols: SymbolTable, file: str) -> Implementation:
    match = _VERSION.match(_content(elf, symbols, "MPII_Version_string", 32))
    version = match[0].decode("ascii") if match else _lone_release(elf)
    if "_abi" in file:
        return Implementation(
            "MPICH", f"{version} (standard ABI)".strip(), problem="the ABI's handles do not encode sizes"
        )
    return Implementation("MPICH", version, "mpich")


# Builds that hide the symbol have the release among their strings all the same.
def _lone_release(elf: Elf) -> str:
    found = set(_LONE_RELEASE.findall(_constants(elf)))
    return found.pop().decode("ascii") if len(found) == 1 else ""


def _constants(elf: Elf) -> bytes:
    section = elf.section(".rodata")
    return elf.content(section) if section is not None else b""


# At most `size` bytes of a data object, as the file holds them.
def _content(elf: Elf, symbols: SymbolTable, name: str, size: int) -> bytes:
    address = symbols.address(name)
    return elf.read_memory(address, size) if address is not None else b""
