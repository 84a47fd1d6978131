"""Nodes that are all this host: a ssh that runs the command line in a shell here, as sshd does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Behind ssh's options: the node and one word, which a shell there takes apart.
SSH = """#!/bin/sh
for WORD; do NODE=$LINE LINE=$WORD; done
case $NODE in
absent*) echo "ssh: Could not resolve hostname $NODE: Name or service not known" >&2; exit 255 ;;
esac
export NODE
exec sh -c "$LINE"
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a ssh, for commands on the nodes."""
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path
