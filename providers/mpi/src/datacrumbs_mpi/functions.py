"""The functions of one MPI library, as the plan has them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.functions import ElfFunction, elf_functions
from datacrumbs.elf.headers import header_arguments
from datacrumbs.elf.signatures import functions_of, signature
from datacrumbs.provider import Function, Result, Role
from datacrumbs_mpi.signatures import IO, OTHER, TRIVIAL, file_signatures, result_of, returns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.elf.signatures import Signature
    from datacrumbs.provider import Argument
    from datacrumbs_mpi.implementation import Implementation

# MPI_Send, MPI_T_init_thread, MPIX_Query_cuda_support; not MPI_NULL_COPY_FN, a callback.
_PUBLIC = re.compile(r"MPIX?_(T_)?[A-Z]?[a-z]\w*")
_FORTRAN = re.compile(r"mpix?_[a-z0-9_]*[a-z0-9]_")
FORTRAN = "MPIFORTRAN"


def library_functions(path: Path, implementation: Implementation, *, trivial: bool = False) -> tuple[Function, ...]:
    """The C functions of an MPI library.

    ``PMPI_X`` is an alias where it shares the address of ``MPI_X``; elsewhere only ``MPI_X`` is given,
    since it calls the other.

    Args:
        path: The library.
        implementation: What `identify` says of it.
        trivial: Also those that only return a value (``MPI_Wtime``).

    Raises:
        DatacrumbsError: (exit 2) when the file is no readable ELF file.
    """
    symbols = tuple(function for function in elf_functions(path) if _c_name(function))
    curated = file_signatures(implementation.snippets)
    known = {symbol for entry in curated for symbol in entry.symbols}
    names = {name for function in symbols for name in (function.name, *function.aliases) if _PUBLIC.fullmatch(name)}
    others = tuple(_other(name) for name in sorted(names - known) if trivial or not TRIVIAL.fullmatch(name))
    found = functions_of((*curated, *others), symbols)
    return _with_arguments(found, path, implementation)


def _c_name(function: ElfFunction) -> bool:
    return any(_PUBLIC.fullmatch(name) for name in (function.name, *function.aliases))


def _other(name: str) -> Signature:
    category = IO if name.startswith("MPI_File_") else OTHER
    return signature(category, name, result_of(name), returns=returns(name))


def _with_arguments(
    functions: tuple[Function, ...], path: Path, implementation: Implementation
) -> tuple[Function, ...]:
    header = find_header(path, implementation)
    bare = [function.name for function in functions if function.category == OTHER]
    if header is None or not bare:
        return functions
    known: Mapping[str, tuple[Argument, ...]] = header_arguments(header, bare, (header.parent,))
    return tuple(
        replace(function, arguments=_scalars(known.get(function.name, ()))) if function.category == OTHER else function
        for function in functions
    )


# Scalars only: an address, and Open MPI's handles are addresses, means nothing to a reader.
def _scalars(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
    return tuple(entry for entry in arguments if entry.role is Role.VALUE)


def find_header(path: Path, implementation: Implementation) -> Path | None:
    """The ``mpi.h`` that belongs to a library, when it is installed."""
    mark = {"openmpi": "define OPEN_MPI", "mpich": "define MPICH_VERSION"}.get(implementation.snippets)
    if mark is None:
        return None
    folder, name = path.parent, implementation.snippets
    places = [folder / name / "include", folder.parent / "include", folder.parent / "include" / name]
    # Debian: /usr/lib/TRIPLET/libmpich.so and /usr/include/TRIPLET/mpich
    places.append(folder.parent.parent / "include" / folder.name / name)
    # Fedora: /usr/lib64/openmpi/lib and /usr/include/openmpi-x86_64
    places += sorted(Path("/usr/include").glob(f"{name}-*"))
    for place in places:
        header = place / "mpi.h"
        try:
            if mark in header.read_text(encoding="utf-8", errors="replace"):
                return header
        except OSError:
            continue
    return None


def fortran_functions(path: Path) -> tuple[Function, ...]:
    """The Fortran bindings of a library, under the names that compilers call (``mpi_send_``).

    They take addresses only and report by an argument, so they have no arguments and no result here. They
    have a category of their own: each calls the C function, and adding both up would count twice.

    Raises:
        DatacrumbsError: (exit 2) when the file is no readable ELF file.
    """
    found = []
    for function in elf_functions(path):
        names = (function.name, *function.aliases)
        fitting = sorted(name for name in names if _FORTRAN.fullmatch(name) and not name.endswith("__"))
        if fitting:
            aliases = tuple(sorted(set(names) - {fitting[0]}))
            found.append(Function(fitting[0], fitting[0], FORTRAN, function.offset, aliases, result=Result.VOID))
    return tuple(sorted(found, key=lambda entry: entry.name))
