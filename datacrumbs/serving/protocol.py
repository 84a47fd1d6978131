"""What goes over a service's socket: a 4-byte big-endian length, then that many bytes of JSON, each way once."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from datacrumbs.probefile.codec import canonical

if TYPE_CHECKING:
    import socket

LENGTH = struct.Struct(">I")
REQUEST_LIMIT = 32 << 20
REPLY_LIMIT = 32 << 20
VERSION = 1
PART = 256 << 10
"""Bytes that are received at once."""


def frame(document: object) -> bytes:
    """A message ready to be sent."""
    body = canonical(document)
    return LENGTH.pack(len(body)) + body


def sign_request(plan_bytes: bytes) -> bytes:
    """The request to sign a plan, from its canonical bytes."""
    return b'{"version":%d,"request":"sign","plan":%b}' % (VERSION, plan_bytes)


def receive_message(connection: socket.socket, limit: int) -> bytes:
    """The next message on a connection that waits for it.

    Raises:
        EOFError: When the connection closes before its end, or it has more bytes than the limit.
        OSError: When the connection breaks, or its time is over.
    """
    (size,) = LENGTH.unpack(receive(connection, LENGTH.size))
    if size > limit:
        raise EOFError(f"a message of {size} bytes")
    return bytes(receive(connection, size))


def receive(connection: socket.socket, size: int) -> bytearray:
    """The next bytes of this number, waited for.

    Raises:
        EOFError: When the connection closes before.
        OSError: When it breaks, or its time is over.
    """
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), PART))
        if not part:
            raise EOFError("the connection closed early")
        data += part
    return data
