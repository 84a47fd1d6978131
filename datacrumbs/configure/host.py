"""The machine that a plan is made for."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from datacrumbs.errors import usage_error
from datacrumbs.provider import Host


def current_host(program: str = "") -> Host:
    """This machine, with this process's environment.

    Args:
        program: The executable to be traced, as a path or a name on PATH; empty for any.

    Raises:
        DatacrumbsError: (exit 2) when the program is not there.
    """
    return Host(platform.release(), platform.machine(), dict(os.environ), _executable(program) if program else None)


def _executable(program: str) -> Path:
    found = shutil.which(program)
    if found is None:
        raise usage_error(
            f"--program: {program!r} is not an executable file", "give its path, or a name that is on PATH"
        )
    # Not resolved: the link to the interpreter in a virtual environment is what makes it that environment's.
    return Path(found).absolute()
