"""Where MPI libraries are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.libraries import find_libraries, named_libraries

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.provider import Host, Options

# libmpi.so.40: Open MPI; libmpich.so.12: MPICH from distributions; libmpi.so.12: MPICH and Intel MPI as they
# install themselves, as wheels too; libmpi_abi: the standard ABI of MPI 4.1; libmpi_cray, libmpi_gnu: Cray.
NAMES = ("libmpi.so.[0-9]*", "libmpich.so.[0-9]*", "libmpi_abi.so.[0-9]*", "libmpi_cray.so*", "libmpi_gnu*.so*")
_FORTRAN_NAMES = ("libmpi_mpifh.so.[0-9]*", "libmpichfort.so.[0-9]*", "libmpifort.so.[0-9]*")


def mpi_libraries(host: Host, options: Options) -> tuple[Path, ...]:
    """Real paths of the MPI libraries of a host, sorted; of ``host.program`` only, when there is one.

    Raises:
        DatacrumbsError: (exit 2) when a file that the option ``libraries`` names is missing.
    """
    if named := named_libraries("mpi", options, "libraries"):
        return tuple(sorted(named))
    patterns = (*NAMES, *(_FORTRAN_NAMES if options.get("fortran") else ()))
    return tuple(sorted(path for path in find_libraries(patterns, host) if _is_mpi(path)))


# Other projects have libraries of these names; an MPI has these functions.
def _is_mpi(path: Path) -> bool:
    names = {"MPI_Init", "PMPI_Init", "mpi_init_"}
    return any(names.intersection((function.name, *function.aliases)) for function in elf_functions(path))
