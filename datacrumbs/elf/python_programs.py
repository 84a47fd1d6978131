"""What a Python interpreter loads later, by name: the extension modules on its search path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.inspected_files import explained, looked_at
from datacrumbs.elf.asked_programs import ask
from datacrumbs.secure.files import is_file, is_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

_PYTHON = re.compile(r"python(3(\.\d+)?)?[a-z]*")
# The search path; and, of a virtual environment or one of conda, where its packages have libraries that belong to no
# module: an MPI, which mpi4py's wheel looks for by name.
_QUESTION = """
import os, sys
print("\\n".join(sys.path))
if sys.prefix != sys.base_prefix or os.path.isdir(os.path.join(sys.prefix, "conda-meta")):
    print("libraries:")
    print("\\n".join(os.path.join(sys.prefix, name) for name in ("lib64", "lib")))
"""


def is_python(program: Path) -> bool:
    """True for an interpreter by its name: ``python``, ``python3``, ``python3.11``."""
    return _PYTHON.fullmatch(program.name) is not None or _PYTHON.fullmatch(program.resolve().name) is not None


@dataclass(frozen=True, slots=True)
class PythonFolders:
    """Folders that an interpreter has, as it says itself.

    Only asking it is right for virtual environments, ``.pth`` files and PYTHONPATH.

    Args:
        modules: The existing ones of its ``sys.path``.
        libraries: Those in which its environment has libraries beside modules; empty for one that is the system's.
    """

    modules: tuple[Path, ...] = ()
    libraries: tuple[Path, ...] = ()


def python_folders(program: Path, environment: Mapping[str, str]) -> PythonFolders:
    """The folders of an interpreter; empty when it cannot say.

    Raises:
        NoAnswerError: (exit 1) It did not answer in time: what it loads would be left out.
    """
    try:
        with explained(program, program.parent.parent / "pyvenv.cfg"):
            answer = ask([str(program), "-c", _QUESTION], environment, folder="/")
    except OSError:
        return PythonFolders()
    if answer.returncode:
        return PythonFolders()
    modules, _, libraries = answer.stdout.partition("libraries:\n")
    return PythonFolders(_existing(modules), _existing(libraries))


def _existing(text: str) -> tuple[Path, ...]:
    folders = [Path(line) for line in text.splitlines() if line.startswith("/")]
    looked_at(*folders)
    for folder in filter(is_folder, folders):
        looked_at(*folder.glob("*.pth"))
    return tuple(folder for folder in dict.fromkeys(folders) if is_folder(folder))


def extension_modules(program: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Extension modules and libraries of an interpreter's search path and environment, each once."""
    folders = python_folders(program, environment)
    found: dict[Path, None] = {}
    for path in (
        *(path for folder in folders.modules for path in sorted(folder.rglob("*.so*"))),
        *(path for folder in folders.libraries for path in sorted(folder.glob("*.so*"))),
    ):
        if is_file(path) and re.search(r"\.so(\.[0-9]+)*$", path.name):
            found.setdefault(path)
    return tuple(found)
