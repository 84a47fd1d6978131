"""What several kinds of tests share: a real installation below a temporary prefix."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import Installation, _installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
