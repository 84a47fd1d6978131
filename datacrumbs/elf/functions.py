"""Functions of an ELF file: their names, aliases and file offsets."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.build_id import file_build_id
from datacrumbs.elf.file import SectionType, open_elf, text_at
from datacrumbs.elf.symbol_tables import ABSOLUTE, INDIRECT, SYMBOL, file_offsets, is_function, is_public, symbol_tables
from datacrumbs.errors import usage_error
from datacrumbs.model.plan import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.elf.file import Elf
    from datacrumbs.elf.symbol_tables import SymbolTable

_VERSION_DEFINITION = struct.Struct("<HHHHIII")  # Elf64_Verdef
_VERSION_NAME = struct.Struct("<II")  # Elf64_Verdaux
_HIDDEN_VERSION = 0x8000  # in .gnu.version: not the default version of its name


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
        offsets = file_offsets(symbols["value"], elf.loads)
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
        if info & 0xF == INDIRECT:
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


def function_names(elf: Elf) -> frozenset[str]:
    """Names of the global and weak functions that an open ELF file defines."""
    return frozenset(_symbols(elf)[0])


def _by_name(function: ElfFunction) -> tuple[str, int]:
    return function.name, function.offset


def preference(name: str) -> tuple[bool, int, int, str]:
    """Sort key that puts the name that people know first among the aliases of one address."""
    return ("@" in name, len(name) - len(name.lstrip("_")), len(name), name)


def _symbols(elf: Elf) -> tuple[list[str], NDArray[np.void], list[str]]:
    # Names, rows and versions of the defined global functions; no version for the default one.
    names: list[str] = []
    rows: list[NDArray[np.void]] = [np.zeros(0, SYMBOL)]
    hidden: list[str] = []
    known: set[tuple[str, int]] = set()
    for table in symbol_tables(elf):
        wanted = _wanted(table.rows)
        selected = table.rows[wanted]
        # .symtab spells the version out: name@@DEFAULT, name@OLD
        texts = [name.partition("@") for name in table.names(selected)]
        old = _hidden_versions(elf, table, wanted)
        if old is None:
            old = [version if not version.startswith("@") else "" for _, _, version in texts]
        # Some linkers leave the version out there: what .dynsym has already, it has with its version.
        places = [(name, value) for (name, _, _), value in zip(texts, selected["value"].tolist(), strict=True)]
        fresh = [place not in known for place in places]
        known.update(places)
        names += list(compress((name for name, _, _ in texts), fresh))
        hidden += list(compress(old, fresh))
        rows.append(selected[np.array(fresh, bool)])
    return names, np.concatenate(rows), hidden


# Versions of some of the loader's symbols, empty for the default one of a name; None for a table that has none.
def _hidden_versions(elf: Elf, table: SymbolTable, wanted: NDArray[np.bool_]) -> list[str] | None:
    versions = next((each for each in elf.sections if each.type == SectionType.VERSIONS), None)
    if versions is None or not table.dynamic:
        return None
    defined = _version_names(elf)
    numbers = np.frombuffer(elf.content(versions), "<u2")[wanted].tolist()
    return [defined.get(number & ~_HIDDEN_VERSION, "") if number & _HIDDEN_VERSION else "" for number in numbers]


# Number in .gnu.version -> name, from .gnu.version_d: a list of structures, each with the distance to the next.
def _version_names(elf: Elf) -> dict[int, str]:
    names: dict[int, str] = {}
    section = next((each for each in elf.sections if each.type == SectionType.VERSION_DEFINITIONS), None)
    if section is None:
        return names
    data, strings = elf.content(section), elf.linked(section)
    at = 0
    for _ in range(min(section.info, len(data) // _VERSION_DEFINITION.size)):
        _, _, number, _, _, name_at, following = _VERSION_DEFINITION.unpack_from(data, at)
        start, _ = _VERSION_NAME.unpack_from(data, at + name_at)
        names.setdefault(number, text_at(strings, start))
        at += following
    return names


def _wanted(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    placed: NDArray[np.bool_] = (rows["section"] != ABSOLUTE) & (rows["value"] != 0)
    return is_function(rows) & is_public(rows) & placed
