"""The machine that a plan is made for."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from datacrumbs.elf.libraries import interpreter_of
from datacrumbs.elf.roots import Root, root_of
from datacrumbs.errors import usage_error
from datacrumbs.provider import Host


def current_host(program: str = "", root: str = "") -> Host:
    """This machine, with this process's environment.

    Args:
        program: The executable to be traced, as a path or a name on PATH; empty for any.
        root: The root directory in which it runs, where that is another one; both as in `elf.roots.root_of`.

    Raises:
        DatacrumbsError: (exit 2) when either is not there.
    """
    found, name = root_of(program, root)
    if not found.is_own and not name:
        raise usage_error("--root: no program is given", "give --program EXE, with its path in that root directory")
    executable = _executable(name, found) if name else None
    return Host(platform.release(), platform.machine(), dict(os.environ), executable, root=found.directory)


def _executable(program: str, root: Root) -> Path:
    if not root.is_own:
        return interpreter_of(Path(program), os.environ, root)
    found = shutil.which(program)
    if found is None:
        raise usage_error(
            f"--program: {program!r} is not an executable file", "give its path, or a name that is on PATH"
        )
    # Not resolved: the link to the interpreter in a virtual environment is what makes it that environment's.
    return Path(found).absolute()
