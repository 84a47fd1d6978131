"""The two small protocols between a service and systemd: sockets passed in, readiness reported.

sd_listen_fds(3) and sd_notify(3); both are a few lines, so no library is needed.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from datacrumbs.errors import usage_error

FIRST_DESCRIPTOR = 3


@dataclass(frozen=True, slots=True)
class PassedSockets:
    """Listening stream sockets: one of AF_UNIX, and one of TCP; None where there is none."""

    local: socket.socket | None = None
    network: socket.socket | None = None


def passed_sockets() -> PassedSockets:
    """What systemd opened for this process, if anything.

    Raises:
        DatacrumbsError: (exit 2) when what was passed is something else.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return PassedSockets()
    number = os.environ.get("LISTEN_FDS", "")
    found = [_passed(FIRST_DESCRIPTOR + place) for place in range(int(number))] if number in {"1", "2"} else []
    local = [each for each in found if each.family == socket.AF_UNIX]
    network = [each for each in found if each.family in {socket.AF_INET, socket.AF_INET6}]
    if len(local) != 1 or len(local) + len(network) != len(found):
        raise usage_error(f"LISTEN_FDS={number}: expected an AF_UNIX socket from systemd, and one of TCP at most")
    return PassedSockets(local[0], next(iter(network), None))


def passed_socket() -> socket.socket | None:
    """The same for a service that is not asked from other hosts.

    Raises:
        DatacrumbsError: (exit 2) likewise.
    """
    passed = passed_sockets()
    if passed.network is not None:
        raise usage_error("LISTEN_FDS: expected no socket of TCP from systemd for this service")
    return passed.local


def _passed(descriptor: int) -> socket.socket:
    found = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keyword
    if found.type != socket.SOCK_STREAM:
        raise usage_error("a socket from systemd is not a stream socket")
    return found


def notify(state: str) -> None:
    """Tell systemd a state (``READY=1``, ``STOPPING=1``); does nothing outside a notify unit."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), address)
