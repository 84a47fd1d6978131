"""What several kinds of tests share: a real installation below a temporary prefix."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.cache import analysis_cache
from datacrumbs.testing import Installation, _installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


def python_environment(place: Path, *requirements: str) -> Path:
    """A virtual environment of the system's Python with these packages, made at ``place`` unless it is there."""
    stamp = place / "requirements.txt"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["/usr/bin/python3", "-m", "venv", place], check=True)
        subprocess.run([place / "bin/pip", "install", "--quiet", *requirements], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return place


def load_module(path: Path) -> ModuleType:
    """A module by its path, loaded once."""
    name = f"datacrumbs_tests_{path.stem}"
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, path)
        assert specification
        assert specification.loader
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(autouse=True)
def _nothing_kept_for_the_next_test() -> Iterator[None]:
    """Where this host keeps what compositions find out, a command that ran in this process would go on with it."""
    yield
    analysis_cache.keep_in(None)


@pytest.fixture(scope="session")
def shared_directory() -> Iterator[Path]:
    """A directory that every user may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="datacrumbs-tests-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture(scope="session")
def installation(shared_directory: Path) -> Iterator[Installation]:
    """Keys, trust, policy and a running signing service; needs root."""
    prefix = shared_directory / "installation"
    prefix.mkdir(mode=0o755)
    made = Installation(prefix)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def whole_members() -> Callable[[bytes], bytes]:
    """Gives what the complete gzip members of a file hold, found without the product."""
    return _installation.whole_members
