"""What a Python interpreter loads later, by name: the extension modules on its search path."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.discovery.files import is_file, is_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

_PYTHON = re.compile(r"python(3(\.\d+)?)?[a-z]*")
_SECONDS = 30
_QUESTION = "import sys; print('\\n'.join(sys.path))"


def is_python(program: Path) -> bool:
    """True for an interpreter by its name: ``python``, ``python3``, ``python3.11``."""
    return _PYTHON.fullmatch(program.name) is not None or _PYTHON.fullmatch(program.resolve().name) is not None


def search_path(program: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The existing folders of an interpreter's ``sys.path``, as the interpreter itself tells it.

    Only asking it is right for virtual environments, ``.pth`` files and PYTHONPATH. Empty when it does not answer.
    """
    try:
        answer = subprocess.run(
            [str(program), "-c", _QUESTION],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            env=dict(environment),
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    folders = (
        [Path(line) for line in answer.stdout.splitlines() if line.startswith("/")] if not answer.returncode else []
    )
    return tuple(folder for folder in dict.fromkeys(folders) if is_folder(folder))


def extension_modules(program: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Extension modules and bundled libraries below an interpreter's search path, sorted, each once."""
    found: dict[Path, None] = {}
    for folder in search_path(program, environment):
        for path in sorted(folder.rglob("*.so*")):
            if is_file(path) and re.search(r"\.so(\.[0-9]+)*$", path.name):
                found.setdefault(path)
    return tuple(found)
