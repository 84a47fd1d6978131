"""The two small protocols between a service and systemd: sockets passed in, readiness reported.

sd_listen_fds(3) and sd_notify(3); both are a few lines, so no library is needed.
"""

from __future__ import annotations

import os
import socket

from datacrumbs.errors import usage_error

FIRST_DESCRIPTOR = 3


def passed_socket() -> socket.socket | None:
    """The listening AF_UNIX socket that systemd opened for this process, if any.

    Raises:
        DatacrumbsError: (exit 2) when what was passed is something else.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        raise usage_error("LISTEN_FDS: expected exactly one socket from systemd")
    found = socket.socket(fileno=FIRST_DESCRIPTOR)
    os.set_inheritable(FIRST_DESCRIPTOR, False)  # noqa: FBT003 - takes no keyword
    if found.family != socket.AF_UNIX or found.type != socket.SOCK_STREAM:
        raise usage_error("the socket from systemd is not an AF_UNIX stream socket")
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
