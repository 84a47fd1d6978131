"""What goes over the signing socket: a 4-byte big-endian length, then that many bytes of JSON, each way once."""

from __future__ import annotations

import struct

from datacrumbs.probefile.codec import canonical

LENGTH = struct.Struct(">I")
REQUEST_LIMIT = 32 << 20
REPLY_LIMIT = 32 << 20
VERSION = 1


def frame(document: object) -> bytes:
    """A message ready to be sent."""
    body = canonical(document)
    return LENGTH.pack(len(body)) + body
