"""Programs for the client's tests, compiled once for a session."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from datacrumbs.client import client_library, launcher

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="session")
def wrap() -> Path:
    """The installed launcher."""
    return launcher()


@pytest.fixture(scope="session")
def library() -> Path:
    """The installed library."""
    return client_library()


@pytest.fixture(scope="session")
def include() -> Path:
    """Directory of the installed header."""
    return Path(sysconfig.get_path("data"), "include")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory):
    """Gives a function that compiles a program: ``compiled("cc", "reporter", "-static")``."""
    directory = tmp_path_factory.mktemp("programs")

    def build(compiler: str, name: str, *flags: str | Path) -> Path:
        output = directory / f"{name}-{compiler}-{len(list(directory.iterdir()))}"
        subprocess.run([compiler, "-O1", "-Wall", "-Werror", PROGRAMS / f"{name}.c", *flags, "-o", output], check=True)
        return output

    return build


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment without what the test run itself preloads."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
