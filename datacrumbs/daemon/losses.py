"""When calls were lost: the counters of loss, looked at all through a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.engine.counters import LOSSES
from datacrumbs.trace.notes import LOST, Note

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

COST_SHARE = 0.002
"""Share of a processor's time that looking closer may take: there is a counter per function, cause and processor."""


class LossWatch:
    """Turns counters into notes of what was lost since the last look.

    Args:
        lost: Gives the number of calls lost so far, whichever they are.
        read: Gives calls lost so far, of shape (functions, LOSSES).
        interval: Seconds between two looks, or longer where a look is expensive.
    """

    def __init__(self, lost: Callable[[], int], read: Callable[[], NDArray[np.int64]], interval: float) -> None:
        self._lost = lost
        self._lost_before = 0
        self._read = read
        self._interval = interval
        self._before: NDArray[np.int64] | None = None
        self._since = time.monotonic_ns()
        self._due = time.monotonic() + interval

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._due

    def look(self) -> list[Note]:
        """Notes of what was lost since the last look, one for each function and cause."""
        begin = time.perf_counter()
        # Before the counters are read: what they have more by then makes another look at the next time.
        any_lost = self._lost()
        if any_lost == self._lost_before:
            self._since = time.monotonic_ns()
            self._due = time.monotonic() + self._interval
            return []
        self._lost_before = any_lost
        lost, until = self._read(), time.monotonic_ns()
        cost = time.perf_counter() - begin
        more = lost if self._before is None else lost - self._before
        notes = [
            Note(LOST, self._since, until, function, {"cause": LOSSES[cause], "calls": int(more[function, cause])})
            for function, cause in np.argwhere(more).tolist()
        ]
        self._before, self._since = lost, until
        self._due = time.monotonic() + max(self._interval, cost / COST_SHARE)
        return notes
