"""Those who look on while a run goes on: they ask by a byte, and get a line of JSON.

They are the run's user and root, as the kernel says of each connection; what they send is never parsed. None of them
is waited for: who does not take an answer, or asks again before, is hung up on.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 16
"""Connections at once; a user has half of them, so that root always gets one."""
_PATIENCE_SECONDS = 10.0
_LONGEST_SECONDS = 0.5  # until a snapshot is made although there is more to be recorded
_SHORTEST_SECONDS, _MOST_SECONDS = 0.2, 10.0  # between two snapshots, however many ask
COST_SHARE = 0.01
"""Share of a processor's time that snapshots may take: the larger they are, the rarer."""
_CREDENTIALS = struct.Struct("3i")
_READ = 16


@dataclass(slots=True)
class _Looker:
    connection: socket.socket
    uid: int
    asks: bool = False
    since: float = 0.0
    out: memoryview = field(default_factory=lambda: memoryview(b""))


class Lookers:
    """The connections of a run.

    Args:
        listener: A listening socket; the object's from now on.
        uid: The run's user.
    """

    def __init__(self, listener: socket.socket, uid: int) -> None:
        self._listener = listener
        self._listener.settimeout(0)
        self._uid = uid
        self._lookers: list[_Looker] = []
        self._next = 0.0

    @property
    def wakers(self) -> list[int]:
        """Descriptors that are readable when somebody wants something."""
        return [self._listener.fileno(), *(looker.connection.fileno() for looker in self._lookers)]

    @property
    def is_asked(self) -> bool:
        """Whether it is time for a snapshot."""
        waiting = any(looker.asks for looker in self._lookers)
        return waiting and time.monotonic() >= self._next

    @property
    def is_overdue(self) -> bool:
        """Whether somebody has waited for long."""
        return any(looker.asks and time.monotonic() - looker.since > _LONGEST_SECONDS for looker in self._lookers)

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for a snapshot, or for the rest of one."""
        return any(looker.asks or looker.out for looker in self._lookers)

    def hear(self) -> None:
        """Take questions and new connections; hand on what waits to be sent."""
        while (looker := self._accepted()) is not None:
            self._lookers.append(looker)
        for looker in list(self._lookers):
            if not self._heard(looker) or not self._passed_on(looker):
                self._hang_up(looker)

    def answer(self, make: Callable[[], bytes], *, everyone: bool = False) -> None:
        """Make a snapshot, and send it to those who asked, or to all who are there."""
        before = time.thread_time()
        snapshot = make()
        cost = time.thread_time() - before
        now = time.monotonic()
        self._next = now + min(max(cost / COST_SHARE, _SHORTEST_SECONDS), _MOST_SECONDS)
        for looker in list(self._lookers):
            if looker.asks or (everyone and not looker.out):
                looker.asks, looker.since, looker.out = False, now, memoryview(snapshot)
                if not self._passed_on(looker):
                    self._hang_up(looker)

    def close(self) -> None:
        """Hang up on all; what the kernel has taken by now, they can still read."""
        self._listener.close()
        for looker in list(self._lookers):
            self._hang_up(looker)

    def _accepted(self) -> _Looker | None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return None
            connection.settimeout(0)
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            uid = _CREDENTIALS.unpack(credentials)[1]
            same = sum(looker.uid == uid for looker in self._lookers)
            if uid in {0, self._uid} and len(self._lookers) < MOST and (uid == 0 or same < MOST // 2):
                return _Looker(connection, uid)
            connection.close()

    @staticmethod
    def _heard(looker: _Looker) -> bool:
        try:
            data = looker.connection.recv(_READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if len(data) != 1 or looker.asks or looker.out:
            return False
        looker.asks, looker.since = True, time.monotonic()
        return True

    @staticmethod
    def _passed_on(looker: _Looker) -> bool:
        if not looker.out:
            return True
        with suppress(BlockingIOError):
            try:
                looker.out = looker.out[looker.connection.send(looker.out) :]
            except BlockingIOError:
                raise
            except OSError:
                return False
        return not looker.out or time.monotonic() - looker.since < _PATIENCE_SECONDS

    def _hang_up(self, looker: _Looker) -> None:
        looker.connection.close()
        self._lookers.remove(looker)
