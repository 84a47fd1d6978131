from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from .declared import HEADER, SOURCE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a header, its functions in a library with debug information, and the same library without."""
    folder = tmp_path_factory.mktemp("arguments")
    (folder / "some.h").write_text(HEADER.replace(" + undeclared_elsewhere(4)", ""))
    (folder / "some.c").write_text(SOURCE)
    subprocess.run(["gcc", "-g", "-w", "-shared", "-fPIC", "-o", "libsome.so", "some.c"], check=True, cwd=folder)
    subprocess.run(["strip", "-g", "-o", "libstripped.so", "libsome.so"], check=True, cwd=folder)
    return folder
