"""The synthetic trace, which the tests of the real readers use too, and traces made line by line."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SOURCE = Path(__file__).resolve().parents[2] / "readers/synthetic.py"
MADE = Path(__file__).resolve().with_name("made.py")


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
    return load("datacrumbs_tests_synthetic", SOURCE)


@pytest.fixture(scope="session")
def made() -> ModuleType:
    return load("datacrumbs_tests_made", MADE)
