"""What the tests of several packages use: the synthetic trace, and a process of a user without rights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.system import SystemPaths

from ..conftest import load_module  # noqa: TID252

if TYPE_CHECKING:
    from types import ModuleType

NOBODY = 65534


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The synthetic trace, which the tests of the real readers use too."""
    return load_module(Path(__file__).resolve().parents[1] / "readers/synthetic.py")


@pytest.fixture(scope="session")
def made() -> ModuleType:
    """Traces made line by line."""
    return load_module(Path(__file__).resolve().with_name("made.py"))


@pytest.fixture
def paths(tmp_path: Path) -> SystemPaths:
    """Those of a private prefix with nothing in it."""
    paths = SystemPaths(tmp_path / "prefix")
    paths.prefix.mkdir()
    return paths


@pytest.fixture
def as_nobody():
    """Run a function in a child process that is nobody; gives what it printed or raised."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")

    def run(work) -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                text = str(work())
            except BaseException as error:  # noqa: BLE001 - a child must not return into pytest
                text = f"{type(error).__name__}: {error}"
            os.write(writer, text.encode()[:60000])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            text = stream.read()
        os.waitpid(child, 0)
        return text

    return run
