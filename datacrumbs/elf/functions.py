"""Functions of an ELF file: their names, aliases and file offsets."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from elftools.elf.elffile import ELFFile

from datacrumbs.elf.build_id import ELF_PROBLEMS, file_build_id
from datacrumbs.errors import usage_error
from datacrumbs.model.plan import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
"""Elf64_Sym, as the System V ABI has it."""

SECTION = np.dtype(
    [
        ("name", "<u4"),
        ("type", "<u4"),
        ("flags", "<u8"),
        ("address", "<u8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("link", "<u4"),
        ("info", "<u4"),
        ("align", "<u8"),
        ("entry_size", "<u8"),
    ]
)
"""Elf64_Shdr."""

SEGMENT = np.dtype(
    [
        ("type", "<u4"),
        ("flags", "<u4"),
        ("offset", "<u8"),
        ("address", "<u8"),
        ("physical", "<u8"),
        ("size", "<u8"),
        ("memory", "<u8"),
        ("align", "<u8"),
    ]
)
"""Elf64_Phdr; ``size`` is that in the file."""

_PT_LOAD = 1
_SHT_SYMTAB = 2
_SHT_DYNSYM = 11
_SHT_GNU_VERDEF = 0x6FFFFFFD
_SHT_GNU_VERSYM = 0x6FFFFFFF
_VERSION_DEFINITION = struct.Struct("<HHHHIII")  # Elf64_Verdef
_VERSION_NAME = struct.Struct("<II")  # Elf64_Verdaux
_FUNC = 2
_GNU_IFUNC = 10
_GLOBAL_BINDINGS = (1, 2, 10)  # STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE
_HIDDEN_VERSION = 0x8000  # in .gnu.version: not the default version of its name
_UNDEFINED = 0
_ABSOLUTE = 0xFFF1


@dataclass(frozen=True, slots=True)
class ElfFunction:
    """The function at one address of an ELF file.

    Args:
        name: Its preferred public name: without version, without leading underscore, then the shortest, then by
            alphabet. A function of an old version, which only programs linked long ago call, is ``f@V1`` beside
            the newer ``f``.
        offset: Offset of its first instruction in the file, in bytes.
        size: Bytes of code, as the symbol says; 0 when unknown.
        aliases: Its other names, sorted.
        ifunc: True when the address is that of a resolver, which picks the real function at run time;
            see `datacrumbs.elf.ifuncs.resolve_ifuncs`. Never probe it.
    """

    name: str
    offset: int
    size: int
    aliases: tuple[str, ...] = ()
    ifunc: bool = False


def elf_target(path: Path | str) -> Target:
    """The plan's target for an ELF file: its real path and its build-id.

    Raises:
        DatacrumbsError: (exit 2) when the file is missing or unreadable.
    """
    try:
        real = Path(path).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise usage_error(f"{path}: cannot be read: {error}", "name a file that exists") from None
    return Target(str(real), file_build_id(real))


def elf_functions(path: Path | str) -> tuple[ElfFunction, ...]:
    """The global and weak functions that a file defines, one for each address, sorted by name.

    They come from .dynsym and, where it is present, .symtab. A symbol's version is stripped unless the name has
    several functions: all but the default one keep it (``realpath@GLIBC_2.2.5``).

    Raises:
        DatacrumbsError: (exit 2) when the file is missing, unreadable or no 64-bit little-endian ELF file.
    """
    real = Path(path).resolve()
    try:
        state = real.stat()
    except OSError as error:
        raise usage_error(f"{path}: cannot be read: {error}", "name a file that exists") from None
    return _elf_functions(real, state.st_mtime_ns, state.st_size)


# Keyed by the file's state: composing a plan asks for the same library several times.
@lru_cache(maxsize=256)
def _elf_functions(path: Path, _modified: int, _size: int) -> tuple[ElfFunction, ...]:
    with open_elf(path) as elf:
        names, symbols, versions = _symbols(elf)
        segments = _load_segments(elf)
    offsets = file_offsets(symbols["value"], segments)
    inside = offsets >= 0
    rows = list(zip(names, versions, offsets.tolist(), inside.tolist(), strict=True))
    texts = _told_apart([(name, version, offset) for name, version, offset, kept in rows if kept])
    symbols, offsets = symbols[inside], offsets[inside]
    found: dict[int, list[str]] = {}
    sizes: dict[int, int] = {}
    indirect: set[int] = set()
    for name, offset, size, info in zip(
        texts, offsets.tolist(), symbols["size"].tolist(), symbols["info"].tolist(), strict=True
    ):
        if offset in found:
            found[offset].append(name)
            sizes[offset] = max(size, sizes[offset])
            continue
        found[offset] = [name]
        sizes[offset] = size
        if info & 0xF == _GNU_IFUNC:
            indirect.add(offset)
    functions = []
    for offset, aliases in found.items():
        preferred, *others = sorted(set(aliases), key=preference) if len(aliases) > 1 else aliases
        functions.append(ElfFunction(preferred, offset, sizes[offset], tuple(sorted(others)), offset in indirect))
    functions.sort(key=_by_name)
    return tuple(functions)


# Names of (name, version unless it is the default one, offset), with the version where another function has the name.
def _told_apart(rows: list[tuple[str, str, int]]) -> list[str]:
    places: dict[str, set[int]] = {}
    defaults: dict[str, set[int]] = {}
    for name, version, offset in rows:
        if version:
            places.setdefault(name, set()).add(offset)
    for name, version, offset in rows:
        if not version and name in places:
            defaults.setdefault(name, set()).add(offset)
    several = {name for name, offsets in places.items() if len(offsets | defaults.get(name, set())) > 1}
    return [
        f"{name}@{version}" if version and name in several and offset not in defaults.get(name, ()) else name
        for name, version, offset in rows
    ]


def base_name(name: str) -> str:
    """A symbol's name without its version: that which programs are written with."""
    return name.partition("@")[0]


def function_names(elf: ELFFile) -> frozenset[str]:
    """Names of the global and weak functions that an open ELF file defines."""
    return frozenset(_symbols(elf)[0])


def _by_name(function: ElfFunction) -> tuple[str, int]:
    return function.name, function.offset


def preference(name: str) -> tuple[bool, int, int, str]:
    """Sort key that puts the name that people know first among the aliases of one address."""
    return ("@" in name, len(name) - len(name.lstrip("_")), len(name), name)


def _symbols(elf: ELFFile) -> tuple[list[str], NDArray[np.void], list[str]]:
    # Names, rows and versions of the defined global functions; no version for the default one.
    names: list[str] = []
    rows: list[NDArray[np.void]] = []
    hidden: list[str] = []
    known: set[tuple[str, int]] = set()
    sections = section_headers(elf)
    versions = sections[sections["type"] == _SHT_GNU_VERSYM]
    for kind in (_SHT_DYNSYM, _SHT_SYMTAB):
        for section in sections[sections["type"] == kind]:
            table = np.frombuffer(_content(elf, section), SYMBOL)
            strings = _content(elf, sections[section["link"]])
            wanted = _wanted(table)
            selected = table[wanted]
            # .symtab spells the version out: name@@DEFAULT, name@OLD
            texts = [_string(strings, start).partition("@") for start in selected["name"].tolist()]
            old = [version if not version.startswith("@") else "" for _, _, version in texts]
            if kind == _SHT_DYNSYM and len(versions):
                defined = _version_names(elf, sections)
                numbers = np.frombuffer(_content(elf, versions[0]), "<u2")[wanted].tolist()
                old = [
                    defined.get(number & ~_HIDDEN_VERSION, "") if number & _HIDDEN_VERSION else "" for number in numbers
                ]
            # Some linkers leave the version out there: what .dynsym has already, it has with its version.
            places = [(name, value) for (name, _, _), value in zip(texts, selected["value"].tolist(), strict=True)]
            fresh = [place not in known for place in places]
            known.update(places)
            names += list(compress((name for name, _, _ in texts), fresh))
            hidden += list(compress(old, fresh))
            rows.append(selected[np.array(fresh, bool)])
    if not rows:
        return [], np.zeros(0, SYMBOL), []
    return names, np.concatenate(rows), hidden


# Number in .gnu.version -> name, from .gnu.version_d: a list of structures, each with the distance to the next.
def _version_names(elf: ELFFile, sections: NDArray[np.void]) -> dict[int, str]:
    names: dict[int, str] = {}
    for section in sections[sections["type"] == _SHT_GNU_VERDEF]:
        data, strings = _content(elf, section), _content(elf, sections[section["link"]])
        at = 0
        for _ in range(min(int(section["info"]), len(data) // _VERSION_DEFINITION.size)):
            _, _, number, _, _, name_at, following = _VERSION_DEFINITION.unpack_from(data, at)
            start, _ = _VERSION_NAME.unpack_from(data, at + name_at)
            names.setdefault(number, _string(strings, start))
            at += following
    return names


def section_headers(elf: ELFFile) -> NDArray[np.void]:
    """All section headers at once: pyelftools makes an object for each, and parses hash tables as it does."""
    if not elf["e_shoff"] or elf["e_shentsize"] != SECTION.itemsize:
        return np.zeros(0, SECTION)
    elf.stream.seek(elf["e_shoff"])
    return np.frombuffer(elf.stream.read(elf.num_sections() * SECTION.itemsize), SECTION)


def _content(elf: ELFFile, section: np.void) -> bytes:
    elf.stream.seek(int(section["offset"]))
    content: bytes = elf.stream.read(int(section["size"]))
    return content


def _wanted(table: NDArray[np.void]) -> NDArray[np.bool_]:
    kind = table["info"] & 0xF
    function = (kind == _FUNC) | (kind == _GNU_IFUNC)
    public = np.isin(table["info"] >> 4, _GLOBAL_BINDINGS)
    defined = (table["section"] != _UNDEFINED) & (table["section"] != _ABSOLUTE) & (table["value"] != 0)
    wanted: NDArray[np.bool_] = function & public & defined
    return wanted


def _string(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b"\0", start)].decode("utf-8", "surrogateescape")


def load_segments(path: Path | str) -> NDArray[np.uint64]:
    """PT_LOAD segments of a file: one row each of virtual address, file offset, bytes in the file.

    Raises:
        DatacrumbsError: (exit 2) when the file is missing, unreadable or no 64-bit little-endian ELF file.
    """
    with open_elf(path) as elf:
        return _load_segments(elf)


def _load_segments(elf: ELFFile) -> NDArray[np.uint64]:
    if elf["e_phentsize"] != SEGMENT.itemsize:
        return np.zeros((0, 3), np.uint64)
    elf.stream.seek(elf["e_phoff"])
    table = np.frombuffer(elf.stream.read(elf.num_segments() * SEGMENT.itemsize), SEGMENT)
    loads = table[table["type"] == _PT_LOAD]
    return np.stack([loads["address"], loads["offset"], loads["size"]], axis=1)


def file_offsets(addresses: NDArray[np.uint64], segments: NDArray[np.uint64]) -> NDArray[np.int64]:
    """File offsets of virtual addresses, shape (n,); -1 where an address is in no PT_LOAD segment."""
    offsets = np.full(len(addresses), -1, np.int64)
    for start, offset, size in segments.tolist():
        inside = (addresses >= start) & (addresses < start + size)
        offsets[inside] = (addresses[inside] - np.uint64(start) + np.uint64(offset)).astype(np.int64)
    return offsets


@contextmanager
def open_elf(path: Path | str | int) -> Iterator[ELFFile]:
    """Open a 64-bit little-endian ELF file; reading a broken one within the block is the same clear error.

    Args:
        path: Its path, or the descriptor of a file that is open already and stays open.

    Raises:
        DatacrumbsError: (exit 2) when the file is missing, unreadable or no such ELF file.
    """
    try:
        with Path(path).open("rb") if not isinstance(path, int) else open(path, "rb", closefd=False) as stream:
            elf = ELFFile(stream)
            if elf.elfclass != 64 or not elf.little_endian:
                raise usage_error(f"{path}: not a 64-bit little-endian ELF file", "only 64-bit programs can be probed")
            yield elf
    except OSError as error:
        raise usage_error(f"{path}: cannot be read: {error}", "name a readable ELF file") from None
    except ELF_PROBLEMS as error:
        raise usage_error(f"{path}: not a readable ELF file: {error}", "name a program or a shared library") from None
