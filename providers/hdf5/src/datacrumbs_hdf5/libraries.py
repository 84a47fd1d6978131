"""Where HDF5 libraries are, and what they say of themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.dependencies import read_dynamic
from datacrumbs.elf.file import open_elf
from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.libraries import find_libraries, named_libraries

if TYPE_CHECKING:
    from datacrumbs.provider import Host, Options

# libhdf5.so, Debian's libhdf5_serial.so and libhdf5_openmpi.so, Cray's libhdf5_parallel_gnu.so, a Python
# package's libhdf5-63fd74b7.so, each with its high-level library.
NAMES = ("libhdf5*.so*",)
_OTHER_LANGUAGES = re.compile(r"fortran|_cpp|_java|f90cstub|_tools|_test")
_PROOF = frozenset({"H5Fopen", "H5LTmake_dataset"})
_VERSION_TEXT = re.compile(rb"HDF5 library version:? (\d+\.\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class Library:
    """An HDF5 library as it is on this machine.

    Args:
        version: As the library says (``1.10.8``), for the high-level one that of the library below it, or empty.
        high_level: True for ``libhdf5_hl``.
        below: Soname of the MPI library that it is built with, or of the HDF5 library for the high-level one.
    """

    version: str
    high_level: bool
    below: str

    @property
    def label(self) -> str:
        """For ``--list``."""
        name = "HDF5 high level" if self.high_level else f"HDF5 {self.version}".strip()
        return f"{name} over {self.below}" if self.below else name


def hdf5_libraries(host: Host, options: Options) -> tuple[Path, ...]:
    """Real paths of the HDF5 libraries of a host, sorted; of ``host.program`` only, when there is one.

    Raises:
        DatacrumbsError: (exit 2) when a file that the option ``libraries`` names is missing.
    """
    if named := named_libraries("hdf5", options, "libraries"):
        return tuple(sorted(named))
    found = find_libraries(NAMES, host)
    return tuple(sorted(path for path in found if not _OTHER_LANGUAGES.search(path.name) and _is_hdf5(path)))


def _is_hdf5(path: Path) -> bool:
    return any(_PROOF.intersection((function.name, *function.aliases)) for function in elf_functions(path))


def describe(path: Path | str) -> Library:
    """What a library says of itself.

    Raises:
        DatacrumbsError: (exit 2) when the file is no readable ELF file.
    """
    state = Path(path).stat()
    return _describe(Path(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _describe(path: Path, _modified: int, _size: int) -> Library:
    dynamic = read_dynamic(path)
    needed = dynamic.needed if dynamic is not None else ()
    high_level = not any(function.name == "H5Fopen" for function in elf_functions(path))
    below = next((name for name in needed if name.startswith("libhdf5" if high_level else "libmpi")), "")
    beneath = path.parent / below
    version = _version(beneath) if high_level and beneath.is_file() else _version(path)
    return Library(version, high_level, below)


def _version(path: Path) -> str:
    with open_elf(path) as elf:
        section = elf.section(".rodata")
        match = _VERSION_TEXT.search(elf.content(section)) if section is not None else None
    return match[1].decode("ascii") if match else ""
