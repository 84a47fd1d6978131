"""Clients of one kind that do harm to a signing service, as one user: ``crowd.py UID KIND SOCKET CLIENTS [BODY]``.

Runs until standard input ends, and 15 minutes at most.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

LONGEST_SECONDS = 900
TURN_MILLISECONDS = 5
TINY = b"[" + b"{}," * ((32 << 20) // 3 - 2) + b"{}]"
STATUS = b'{"version":1,"request":"status"}'
OVER = select.POLLHUP | select.POLLERR


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


class Client:
    """One connection after the other."""

    def __init__(self, kind: str, path: str, data: bytes) -> None:
        self.kind, self.path, self.data = kind, path, data
        self.connection: socket.socket | None = None
        self.sent = 0

    def turn(self) -> None:
        try:
            if self.connection is None:
                self._connect()
            else:
                self._go_on(self.connection)
        except BlockingIOError:
            pass
        except OSError:  # refused, or cut off
            self._close()

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(0)
        try:
            connection.connect(self.path)
        except OSError:
            connection.close()
            return
        self.connection, self.sent = connection, 0

    def _go_on(self, connection: socket.socket) -> None:
        if self.sent < len(self.data):
            step = 1 if self.kind == "slow" and self.sent >= 4 else 1 << 18
            self.sent += connection.send(self.data[self.sent : self.sent + step])
        elif self.kind == "again" or (self.kind in {"tiny", "large"} and connection.recv(1 << 16)):
            self._close()
        else:
            poll = select.poll()
            poll.register(connection, 0)
            if any(events & OVER for _, events in poll.poll(0)):
                self._close()

    def _close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def main() -> None:
    uid, kind, path, clients = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    body = Path(sys.argv[5]).read_bytes() if len(sys.argv) > 5 else b""
    data = {
        "silent": b"",
        "slow": struct.pack(">I", 1 << 20) + b" " * (1 << 20),
        "again": framed(STATUS),
        "tiny": framed(TINY),
    }.get(kind, framed(body))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    signal.alarm(LONGEST_SECONDS)
    crowd = [Client(kind, path, data) for _ in range(clients)]
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], TURN_MILLISECONDS / 1000)[0]:
        for client in crowd:
            client.turn()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
