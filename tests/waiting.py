"""Waiting for what comes in its own time, however slow the machine is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")
BOUND = 300.0
"""Seconds after which it will not come; no promise of speed."""


def until(reached: Callable[[], Found], problem: Callable[[], object] = str) -> Found:
    """What this gives as soon as it is true; ``problem`` says why it did not come to that."""
    end = time.monotonic() + BOUND
    while not (found := reached()):
        assert time.monotonic() < end, problem()
        time.sleep(0.01)
    return found


def state_of(process: int) -> str:
    """The letter that proc(5) has for what a process does."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
