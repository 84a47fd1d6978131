"""Commands in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def command(name: str, *arguments: object, path: Path | None = None, status: int | None = 0):
    """Run a command by the name of its module; ``path`` has more packages, any ``status`` is right when it is None."""
    code = f"from datacrumbs.commands._entry import start; exit(start({name!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
    )
    assert status in {None, result.returncode}, result.stderr
    return result
