"""The process that seals: it has the node's key, signs one summary, and reads nothing but what it is given.

Its descriptors are the seal, which is empty until then, and the files of the trace. What it seals of a run is fixed
when the run begins, but for counts and the end.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datacrumbs.daemon.channel import Channel, Gone
from datacrumbs.daemon.messages import Begun, Failed, Sealed, SealEnd, SealPart, SealRun
from datacrumbs.seal.statement import SealedPart, Summary, sealed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from datacrumbs.errors import DatacrumbsError

_CHUNK = 1 << 20


def seal_run(channel: Channel, key: Ed25519PrivateKey) -> None:
    """Wait for the run's begin, its files and its end; then write the seal, and say so."""
    parts: list[tuple[str, int | None]] = []
    try:
        begin = channel.wait()
        channel.send(Begun())
        while isinstance((received := channel.wait()).message, SealPart):
            parts.append((received.message.name, next(iter(received.descriptors), None)))
        summary = _summary(begin.message, received.message, parts)
        try:
            _write(begin.descriptors[0], sealed(summary, key))
        except OSError as error:
            channel.send(Failed(f"the seal cannot be written: {error.strerror}", ""))
            return
        channel.send(Sealed(sum(not part.sha256 for part in summary.parts)))
    except Gone:
        return  # the run ended in another way than it should: its seal stays empty


def refuse(error: DatacrumbsError, channel: Channel) -> None:
    """Say why nothing can be sealed, when a run begins."""
    with suppress(Gone):
        channel.wait()
        channel.send(Failed(error.message, error.hint))


def _summary(begin: SealRun, end: SealEnd, parts: list[tuple[str, int | None]]) -> Summary:
    deadline = time.monotonic() + end.seconds
    about: dict[str, Any] = {**begin.about, **end.about}
    return Summary(
        **about,
        counts=tuple(end.counts.items()),
        parts=tuple(_part(name, descriptor, deadline) for name, descriptor in parts),
    )


# The file is the user's, who may change it meanwhile: then it does not match.
def _part(name: str, descriptor: int | None, deadline: float) -> SealedPart:
    if descriptor is None:
        return SealedPart(name, 0, "")
    size = os.fstat(descriptor).st_size
    digest, place = hashlib.sha256(), 0
    while time.monotonic() < deadline:
        try:
            data = os.pread(descriptor, min(_CHUNK, size - place), place)
        except OSError:
            break
        digest.update(data)
        place += len(data)
        if place == size:
            return SealedPart(name, size, digest.hexdigest())
        if not data:
            break
    return SealedPart(name, size, "")


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
