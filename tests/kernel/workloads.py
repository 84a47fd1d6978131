"""What tests of runs have in common: a program that writes, and the process of a daemon that writes the trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.testing import RunningDaemon


def writes(count: int, size: int = 1) -> list[str]:
    """A command that writes ``count`` times ``size`` bytes."""
    return ["/bin/dd", "if=/dev/zero", "of=/dev/null", f"bs={size}", f"count={count}", "status=none"]


def writer_of(daemon: RunningDaemon) -> int:
    """The process that writes the trace."""
    child, *_ = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    return int(child)


def accounted(counts: Mapping[str, int]) -> int:
    """Calls of which it is known what became of them, but for those that were lost."""
    return sum(counts[part] for part in ("recorded", "filtered", "counted", "unmatched", "in_flight"))
