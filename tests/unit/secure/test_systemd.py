from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

LOCAL, NETWORK, DATAGRAM = "local", "network", "datagram"
MADE = {
    LOCAL: lambda: socket.socket(socket.AF_UNIX),
    NETWORK: lambda: socket.socket(socket.AF_INET),
    DATAGRAM: lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
}
PROGRAM = """
import os, sys
kinds = [int(each) for each in sys.argv[2:]]
kept = [os.dup2(os.dup(each), 100 + place) for place, each in enumerate(kinds)]
for place, each in enumerate(kept):
    os.dup2(each, 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kinds)))
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure import systemd
try:
    found = getattr(systemd, sys.argv[1])()
except DatacrumbsError as error:
    sys.exit(error.message)
if sys.argv[1] == "passed_sockets":
    print(found.local is not None, found.network is not None)
else:
    print(found is not None)
"""


def passed(function: str, *kinds: str) -> str:
    """What a process gets to which systemd passes these sockets: what it prints, or its words."""
    sockets = [MADE[kind]() for kind in kinds]
    try:
        numbers = [each.fileno() for each in sockets]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, function, *map(str, numbers)],
            pass_fds=numbers,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for each in sockets:
            each.close()
    return (done.stdout or done.stderr).strip()


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ((LOCAL,), "True False"),
        ((LOCAL, NETWORK), "True True"),
        ((NETWORK, LOCAL), "True True"),
        ((NETWORK,), "LISTEN_FDS=1: expected an AF_UNIX socket from systemd, and one of TCP at most"),
        ((LOCAL, LOCAL), "LISTEN_FDS=2: expected an AF_UNIX socket from systemd, and one of TCP at most"),
        ((), "LISTEN_FDS=0: expected an AF_UNIX socket from systemd, and one of TCP at most"),
        ((LOCAL, NETWORK, NETWORK), "LISTEN_FDS=3: expected an AF_UNIX socket from systemd, and one of TCP at most"),
        ((DATAGRAM,), "a socket from systemd is not a stream socket"),
    ],
)
def test_what_systemd_passes(kinds, found):
    assert passed("passed_sockets", *kinds) == found


def test_a_service_of_this_host_alone_takes_no_socket_of_tcp():
    assert passed("passed_socket", LOCAL) == "True"
    assert passed("passed_socket", LOCAL, NETWORK).startswith("LISTEN_FDS: expected no socket of TCP")


def test_another_process_was_meant(monkeypatch):
    from datacrumbs.secure.systemd import PassedSockets, passed_sockets

    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert passed_sockets() == PassedSockets()
