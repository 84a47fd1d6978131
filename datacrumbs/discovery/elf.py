"""Functions of an ELF file: their names, aliases and file offsets."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from elftools.elf.elffile import ELFFile

from datacrumbs.errors import usage_error
from datacrumbs.probefile.buildid import ELF_PROBLEMS, file_build_id
from datacrumbs.probefile.plan import Target

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
_SHT_GNU_VERSYM = 0x6FFFFFFF
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
        name: Its preferred public name: without leading underscore, then the shortest, then by alphabet.
        offset: Offset of its first instruction in the file, in bytes.
        size: Bytes of code, as the symbol says; 0 when unknown.
        aliases: Its other names, sorted.
        ifunc: True when the address is that of a resolver, which picks the real function at run time;
            see `datacrumbs.discovery.ifuncs.resolve_ifuncs`. Never probe it.
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


def elf_functions(path: Path | str, *, old_versions: bool = False) -> tuple[ElfFunction, ...]:
    """The global and weak functions that a file defines, one for each address, sorted by name.

    They come from .dynsym and, where it is present, .symtab. Symbol versions are stripped.

    Args:
        path: The file.
        old_versions: Also those addresses whose every name has a newer default version elsewhere
            (``realpath@GLIBC_2.2.5``), which only programs linked long ago call; they then share a name
            with the newer one.

    Raises:
        DatacrumbsError: (exit 2) when the file is missing, unreadable or no 64-bit little-endian ELF file.
    """
    real = Path(path).resolve()
    try:
        state = real.stat()
    except OSError as error:
        raise usage_error(f"{path}: cannot be read: {error}", "name a file that exists") from None
    return _elf_functions(real, state.st_mtime_ns, state.st_size, old_versions)


# Keyed by the file's state: composing a plan asks for the same library several times.
@lru_cache(maxsize=256)
def _elf_functions(path: Path, _modified: int, _size: int, old_versions: bool) -> tuple[ElfFunction, ...]:
    with open_elf(path) as elf:
        names, symbols, hidden = _symbols(elf)
        segments = _load_segments(elf)
    offsets = file_offsets(symbols["value"], segments)
    inside = offsets >= 0
    names = [name for name, keep in zip(names, inside, strict=True) if keep]
    symbols, hidden, offsets = symbols[inside], hidden[inside], offsets[inside]
    current = {name for name, old in zip(names, hidden.tolist(), strict=True) if not old}
    found: dict[int, list[str]] = {}
    sizes: dict[int, int] = {}
    indirect: set[int] = set()
    rows = zip(
        names, hidden.tolist(), offsets.tolist(), symbols["size"].tolist(), symbols["info"].tolist(), strict=True
    )
    for name, old, offset, size, info in rows:
        if old and not old_versions and name in current:
            continue
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


def _by_name(function: ElfFunction) -> tuple[str, int]:
    return function.name, function.offset


def preference(name: str) -> tuple[int, int, str]:
    """Sort key that puts the name that people know first among the aliases of one address."""
    return (len(name) - len(name.lstrip("_")), len(name), name)


def _symbols(elf: ELFFile) -> tuple[list[str], NDArray[np.void], NDArray[np.bool_]]:
    # Names, rows and "not the default version" of the defined global functions.
    names: list[str] = []
    rows: list[NDArray[np.void]] = []
    hidden: list[NDArray[np.bool_]] = []
    sections = section_headers(elf)
    versions = sections[sections["type"] == _SHT_GNU_VERSYM]
    for kind in (_SHT_DYNSYM, _SHT_SYMTAB):
        for section in sections[sections["type"] == kind]:
            table = np.frombuffer(_content(elf, section), SYMBOL)
            strings = _content(elf, sections[section["link"]])
            wanted = _wanted(table)
            old = np.zeros(len(table), bool)
            if kind == _SHT_DYNSYM and len(versions):
                old = (np.frombuffer(_content(elf, versions[0]), "<u2") & _HIDDEN_VERSION) != 0
            selected = table[wanted]
            # .symtab spells the version out: name@@DEFAULT, name@OLD
            texts = [_string(strings, start) for start in selected["name"].tolist()]
            names += [text.partition("@")[0] for text in texts]
            spelled = np.array([_spelled_old(text) for text in texts], bool)
            rows.append(selected)
            hidden.append(old[wanted] | spelled)
    if not rows:
        return [], np.zeros(0, SYMBOL), np.zeros(0, bool)
    return names, np.concatenate(rows), np.concatenate(hidden)


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


def _spelled_old(text: str) -> bool:
    return "@" in text and "@@" not in text


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
def open_elf(path: Path | str) -> Iterator[ELFFile]:
    """Open a 64-bit little-endian ELF file; reading a broken one within the block is the same clear error.

    Raises:
        DatacrumbsError: (exit 2) when the file is missing, unreadable or no such ELF file.
    """
    try:
        with Path(path).open("rb") as stream:
            elf = ELFFile(stream)
            if elf.elfclass != 64 or not elf.little_endian:
                raise usage_error(f"{path}: not a 64-bit little-endian ELF file", "only 64-bit programs can be probed")
            yield elf
    except OSError as error:
        raise usage_error(f"{path}: cannot be read: {error}", "name a readable ELF file") from None
    except ELF_PROBLEMS as error:
        raise usage_error(f"{path}: not a readable ELF file: {error}", "name a program or a shared library") from None
