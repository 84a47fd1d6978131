"""The rule of the root conftest: where CI=true, a skip is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import datacrumbs

REPOSITORY = Path(datacrumbs.__file__).parent.parent

TESTS = """
import pytest

@pytest.mark.skip(reason="the bed is gone")
def test_mark(): ...

def test_call():
    pytest.skip("found out later")

@pytest.fixture
def bed():
    pytest.skip("no bed")

def test_fixture(bed): ...

@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    raise AssertionError
"""


@pytest.mark.parametrize(
    ("environment", "outcome"),
    [({}, {"skipped": 4, "xfailed": 1}), ({"CI": "true"}, {"failed": 1, "error": 3, "xfailed": 1})],
)
def test_skips_fail_in_ci_only(tmp_path, environment, outcome):
    (tmp_path / "test_beds.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text("import pytest\npytest.skip('no library', allow_module_level=True)\n")
    (tmp_path / "pytest.ini").touch()
    base = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "--continue-on-collection-errors"],
        cwd=tmp_path,
        env=base | environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    closing = done.stdout.splitlines()[-1]
    for kind, number in outcome.items():
        assert f"{number} {kind}" in closing, done.stdout
    assert (done.returncode == 0) == (not environment)
