"""The helper that begins an installation's processes ends them, whatever they do."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import _installation

if TYPE_CHECKING:
    from pathlib import Path


def test_what_does_not_get_ready_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("as far as it came")
    with subprocess.Popen(["sleep", "600"]) as process:
        with pytest.raises(AssertionError, match="did not become ready:\nas far as it came"):
            _installation.wait_until_ready(lambda: False, process, log, 0.0)
        assert process.returncode == -signal.SIGKILL


def test_what_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_installation, "_PATIENCE_SECONDS", 0.0)
    with subprocess.Popen(["sleep", "600"]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            _installation.wait_until_ended(process)
        assert process.returncode == -signal.SIGKILL
