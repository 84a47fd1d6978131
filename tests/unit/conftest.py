"""What the tests of several packages use: the synthetic trace, and a process of a user without rights."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    from types import ModuleType

NOBODY = 65534


def load(name: str, source: Path) -> ModuleType:
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, source)
        assert specification
        assert specification.loader
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The synthetic trace, which the tests of the real readers use too."""
    return load("datacrumbs_tests_synthetic", Path(__file__).resolve().parents[1] / "readers/synthetic.py")


@pytest.fixture(scope="session")
def made() -> ModuleType:
    """Traces made line by line."""
    return load("datacrumbs_tests_made", Path(__file__).resolve().with_name("made.py"))


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
