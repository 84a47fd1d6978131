"""The functions of one HDF5 library, as the plan has them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.headers import header_arguments
from datacrumbs.elf.signatures import functions_of, signature
from datacrumbs.provider import Argument, Function, Role
from datacrumbs_hdf5.libraries import describe
from datacrumbs_hdf5.signatures import CATEGORY, SIGNATURES, result_of, returns

if TYPE_CHECKING:
    from collections.abc import Iterator

# H5open, H5Dwrite, H5FDregister, H5LTmake_dataset. HDF5's internal functions, which the library exports too, have
# an underscore behind the capitals (H5D__write, H5AC_flush); the lexer of the high-level library has yy.
_PUBLIC = re.compile(r"H5([A-Z]{1,2})?(?!yy)[a-z]\w*")
_CURATED = frozenset(entry.name for entry in SIGNATURES)
_LOCATIONS = frozenset(
    {"loc_id", "dset_id", "did", "dsid", "file_id", "fid", "obj_id", "group_id", "attr_id", "dataset_id"}
)
_MPI_FOLDERS = ("lib/*/openmpi/include", "include/*/mpich", "include/openmpi-*", "include/mpich-*")


def library_functions(path: Path) -> tuple[Function, ...]:
    """The public functions of an HDF5 library.

    Raises:
        DatacrumbsError: (exit 2) when the file is no readable ELF file.
    """
    symbols = elf_functions(path)
    public = {name for function in symbols for name in (function.name, *function.aliases) if _PUBLIC.fullmatch(name)}
    others = tuple(
        signature(CATEGORY, name, result_of(name), returns=returns(name)) for name in sorted(public - _CURATED)
    )
    found = functions_of((*SIGNATURES, *others), symbols)
    bare = [function.name for function in found if function.name not in _CURATED]
    known = _header_arguments(path, tuple(bare))
    return tuple(replace(entry, arguments=known.get(entry.name, entry.arguments)) for entry in found)


def _header_arguments(path: Path, names: tuple[str, ...]) -> dict[str, tuple[Argument, ...]]:
    for header in find_headers(path):
        known = header_arguments(header, names, (header.parent, *_mpi_folders()))
        if known:
            return {name: _telling(arguments) for name, arguments in known.items()}
    return {}


# What is of use to a reader: scalars, names, and the locations whose file is known; no addresses.
def _telling(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
    kept: list[Argument] = []
    for argument in arguments:
        roles = {kept_argument.role for kept_argument in kept}
        if argument.ctype == "hid_t" and argument.label in _LOCATIONS and Role.HANDLE not in roles:
            kept.append(replace(argument, role=Role.HANDLE))
        elif argument.ctype.replace(" ", "") == "constchar*" and argument.label.endswith("name"):
            kept.append(replace(argument, role=Role.STRING))
        elif argument.role is Role.VALUE:
            kept.append(argument)
    return tuple(kept)


def find_headers(path: Path) -> tuple[Path, ...]:
    """The installed headers that declare a library's functions in its release, the likeliest first.

    A serial build's comes first: it declares the same functions but for a few, and needs no MPI.
    """
    library = describe(path)
    name = "hdf5_hl.h" if library.high_level else "hdf5.h"
    return tuple(folder / name for folder in _folders(path) if _fits(folder, name, library.version))


def _folders(path: Path) -> Iterator[Path]:
    yield path.parent.parent / "include"
    for base in (Path("/usr/include"), Path("/usr/include/hdf5")):
        yield base / "serial"
        yield base
        yield from (base / flavour for flavour in ("openmpi", "mpich"))


def _fits(folder: Path, name: str, version: str) -> bool:
    try:
        text = (folder / "H5public.h").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    numbers = [re.search(rf"define H5_VERS_{part}\s+(\d+)", text) for part in ("MAJOR", "MINOR")]
    release = ".".join(match[1] for match in numbers if match)
    return (folder / name).is_file() and (not version or version.startswith(f"{release}."))


def _mpi_folders() -> tuple[Path, ...]:
    found = (folder for pattern in _MPI_FOLDERS for folder in sorted(Path("/usr").glob(pattern)))
    return tuple(folder for folder in found if (folder / "mpi.h").is_file())
