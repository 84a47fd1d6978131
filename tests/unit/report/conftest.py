"""The synthetic trace, which the tests of the real readers use too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SOURCE = Path(__file__).resolve().parents[2] / "readers/synthetic.py"


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    name = "datacrumbs_tests_synthetic"
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, SOURCE)
        assert specification
        assert specification.loader
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]
