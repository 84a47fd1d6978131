"""The server of a run's snapshots: a client asks by a byte, and gets a line of JSON.

Clients are the run's user and root, as the kernel says of each connection; what they send is never parsed. None of
them is waited for: one that does not take its answer, or asks again before it has it, is disconnected.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.serving.caller import credentials_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

MOST = 16
"""Connections at once; a user has half of them, so that root always gets one."""
_PATIENCE_SECONDS = 10.0
_LONGEST_SECONDS = 0.5  # until a snapshot is made although there is more to be recorded
_SHORTEST_SECONDS, _MOST_SECONDS = 0.2, 10.0  # between two snapshots, however many ask
COST_SHARE = 0.01
"""Share of a processor's time that snapshots may take: the larger they are, the rarer."""
_READ = 16


@dataclass(slots=True)
class _Client:
    connection: socket.socket
    uid: int
    asks: bool = False
    since: float = 0.0
    out: memoryview = field(default_factory=lambda: memoryview(b""))


class SnapshotServer:
    """The connections to a run.

    Args:
        listener: A listening socket; the object's from now on.
        uid: The run's user.
    """

    def __init__(self, listener: socket.socket, uid: int) -> None:
        self._listener = listener
        self._listener.settimeout(0)
        self._uid = uid
        self._clients: list[_Client] = []
        self._next = 0.0

    @property
    def wakers(self) -> list[int]:
        """Descriptors that are readable when a client wants something."""
        return [self._listener.fileno(), *(client.connection.fileno() for client in self._clients)]

    @property
    def is_asked(self) -> bool:
        """Whether it is time for a snapshot."""
        waiting = any(client.asks for client in self._clients)
        return waiting and time.monotonic() >= self._next

    @property
    def is_overdue(self) -> bool:
        """Whether a client has waited for long."""
        return any(client.asks and time.monotonic() - client.since > _LONGEST_SECONDS for client in self._clients)

    @property
    def is_busy(self) -> bool:
        """Whether a client waits for a snapshot, or for the rest of one."""
        return any(client.asks or client.out for client in self._clients)

    def hear(self) -> None:
        """Take questions and new connections; hand on what waits to be sent."""
        for _ in range(MOST):  # a process that connects again and again keeps nothing else waiting
            if not self._accept():
                break
        for client in list(self._clients):
            if not self._heard(client) or not self._passed_on(client):
                self._disconnect(client)

    def answer(self, make: Callable[[], bytes], *, everyone: bool = False) -> None:
        """Make a snapshot, and send it to those who asked, or to all clients."""
        before = time.thread_time()
        snapshot = make()
        cost = time.thread_time() - before
        now = time.monotonic()
        self._next = now + min(max(cost / COST_SHARE, _SHORTEST_SECONDS), _MOST_SECONDS)
        for client in list(self._clients):
            if client.asks or (everyone and not client.out):
                client.asks, client.since, client.out = False, now, memoryview(snapshot)
                if not self._passed_on(client):
                    self._disconnect(client)

    def close(self) -> None:
        """Disconnect all; what the kernel has taken by now, they can still read."""
        self._listener.close()
        for client in list(self._clients):
            self._disconnect(client)

    # Whether there was a connection.
    def _accept(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return False
        connection.settimeout(0)
        _, uid, _ = credentials_of(connection)
        same = sum(client.uid == uid for client in self._clients)
        if uid in {0, self._uid} and len(self._clients) < MOST and (uid == 0 or same < MOST // 2):
            self._clients.append(_Client(connection, uid))
        else:
            connection.close()
        return True

    @staticmethod
    def _heard(client: _Client) -> bool:
        try:
            data = client.connection.recv(_READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if len(data) != 1 or client.asks or client.out:
            return False
        client.asks, client.since = True, time.monotonic()
        return True

    @staticmethod
    def _passed_on(client: _Client) -> bool:
        if not client.out:
            return True
        try:
            client.out = client.out[client.connection.send(client.out) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return not client.out or time.monotonic() - client.since < _PATIENCE_SECONDS

    def _disconnect(self, client: _Client) -> None:
        client.connection.close()
        self._clients.remove(client)
