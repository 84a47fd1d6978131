"""What tests of runs have in common: a program that writes, and the process of a daemon that writes the trace."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.testing import RunningDaemon


def writes(count: int, size: int = 1) -> list[str]:
    """A command that writes ``count`` times ``size`` bytes."""
    return ["/bin/dd", "if=/dev/zero", "of=/dev/null", f"bs={size}", f"count={count}", "status=none"]


def writer_of(daemon: RunningDaemon) -> int:
    """The process that writes the trace."""
    child, *_ = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    return int(child)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no time of its own."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
