"""What several kinds of tests share: a real installation below a temporary prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Keys, trust, policy and a running signing service; needs root."""
    prefix = tmp_path_factory.mktemp("installation")
    prefix.chmod(0o755)
    for parent in (prefix.parent, prefix.parent.parent):
        parent.chmod(0o755)
    made = Installation(prefix)
    made.start()
    yield made
    made.stop()
