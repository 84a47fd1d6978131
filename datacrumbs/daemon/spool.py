"""What was taken from the rings and is not written yet, in memory, so that a burst need not fit the rings."""

from __future__ import annotations

import ctypes
from collections import deque
from typing import TYPE_CHECKING

from datacrumbs.model.contract import CHUNK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from datacrumbs.engine.ring import Rings
    from datacrumbs.model.record import Batch

_MEBIBYTE = 1 << 20
_WORTH_RETURNING = 32 * _MEBIBYTE
_NAME_SIZE = 200  # bytes of a name as objects, roughly, beside its text


class Spool:
    """A queue of batches, and of profiles that wait for the batches before them.

    Args:
        rings: Where batches come from.
        mebibytes: It takes no more from the rings while it holds so much.
    """

    def __init__(self, rings: Rings, mebibytes: int) -> None:
        self._rings = rings
        self._limit = mebibytes * _MEBIBYTE
        self._queue: deque[tuple[Batch | NDArray[np.void], int]] = deque()
        self._size = 0
        self._most = 0

    def fill(self) -> int:
        """Take what the rings hold, as far as it may; gives the number of calls."""
        taken, more = 0, CHUNK
        while more == CHUNK and self._size < self._limit:
            batch = self._rings.poll(CHUNK)
            more = len(batch.calls)
            if more or batch.names:
                size = batch.calls.nbytes + sum(_NAME_SIZE + len(name.text) for name in batch.names)
                self._append(batch, size)
            taken += more
        self._most = max(self._most, self._size)
        return taken

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._queue)

    def put(self, profiles: NDArray[np.void]) -> None:
        """Let profiles wait for all that was taken before them."""
        self._append(profiles, profiles.nbytes)

    def take(self) -> Batch | NDArray[np.void] | None:
        """The oldest, or None."""
        if not self._queue:
            if self._most > _WORTH_RETURNING:
                _LIBC.malloc_trim(0)  # memory goes back to the system
            self._most = 0
            return None
        item, size = self._queue.popleft()
        self._size -= size
        return item

    def _append(self, item: Batch | NDArray[np.void], size: int) -> None:
        self._queue.append((item, size))
        self._size += size


_LIBC = ctypes.CDLL(None)
