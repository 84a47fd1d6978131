"""Messages between the processes of a daemon (`datacrumbs.daemon.messages`), and descriptors.

Large data goes as the descriptor of a file in memory, since a socket takes little at once. Nothing
here waits for the other side to read: it may be slow, stopped by its user, or gone.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from collections import deque
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEAD = struct.Struct("<II")
_DESCRIPTORS = 3
_READ = 1 << 18


# Types of fields that are checked, as they are written.
_PLAIN: Mapping[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}


@dataclass(frozen=True, slots=True)
class Received:
    """A message and its descriptors, which are the receiver's."""

    message: Any
    descriptors: tuple[int, ...] = ()


class Gone(Exception):  # noqa: N818 - a state, not a mistake
    """The other side is gone, or does not say what it should."""


class Channel:
    """One end of a pair of connected sockets.

    Args:
        end: A stream socket; the channel's from now on.
        accepted: The classes of messages that are taken.
        limit: The longest message taken, in bytes.
        takes_descriptors: Whether descriptors are taken.
    """

    def __init__(
        self, end: socket.socket, accepted: Sequence[type[Any]], limit: int, *, takes_descriptors: bool
    ) -> None:
        self._socket = end
        self._socket.settimeout(0)
        self._accepted = {each.__name__: each for each in accepted}
        self._limit = limit
        self._takes_descriptors = takes_descriptors
        self._out: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._in = bytearray()
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def pass_on(self) -> bool:
        """Hand what waits to the kernel, as far as there is room; gives whether nothing waits any more.

        Raises:
            Gone: the other side does not listen any more.
        """
        while self._out:
            data, descriptors = self._out[0]
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
            try:
                sent = self._socket.sendmsg([data], ancillary if descriptors else [])
            except BlockingIOError:
                return False
            except OSError as error:
                raise Gone from error
            _close(descriptors)
            self._out[0] = (data[sent:], ())
            if sent == len(data):
                self._out.popleft()
        return True

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Say something, now or when there is room; of descriptors, copies are sent.

        Raises:
            Gone: the other side does not listen any more.
        """
        values = {field.name: getattr(message, field.name) for field in fields(message)}  # type: ignore[arg-type]
        text = json.dumps([type(message).__name__, values]).encode()
        frame = memoryview(_HEAD.pack(len(text), len(descriptors)) + text)
        self._out.append((frame, tuple(os.dup(descriptor) for descriptor in descriptors)))
        self.pass_on()

    def receive(self, seconds: float | None = 0.0, wakers: Sequence[int] = ()) -> Received | None:
        """The next message, or None when none came in this time, or before one of ``wakers`` became readable.

        Meanwhile what waits to be sent goes out as soon as there is room; None comes then, too.

        Raises:
            Gone: the other side is gone, or says what cannot be understood.
        """
        message = self._next()
        if message is None:
            waiting = [self.fileno()] if self._out else []
            readable, has_room, _ = select.select([self.fileno(), *wakers], waiting, [], seconds)
            if has_room:
                self.pass_on()
            if self.fileno() in readable:
                self._read()
                message = self._next()
        return message

    def wait(self) -> Received:
        """The next message, however long it takes to come.

        Raises:
            Gone: as `receive` does.
        """
        while (received := self.receive(None)) is None:
            pass
        return received

    def close(self) -> None:
        """Hang up; idempotent."""
        self._socket.close()
        _close(self._descriptors)
        self._descriptors.clear()
        for _, descriptors in self._out:
            _close(descriptors)
        self._out.clear()

    def _read(self) -> None:
        try:
            if self._takes_descriptors:
                data, received, _, _ = socket.recv_fds(self._socket, _READ, _DESCRIPTORS)
                self._descriptors += received
            else:
                data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self._in += data

    def _next(self) -> Received | None:
        if len(self._in) < _HEAD.size:
            self._refuse_surplus(_DESCRIPTORS if self._in else 0)
            return None
        text, descriptors = _HEAD.unpack_from(self._in)
        end = _HEAD.size + text
        if end > self._limit or descriptors > _DESCRIPTORS:
            raise Gone
        if len(self._in) < end:
            self._refuse_surplus(descriptors)
            return None
        body = bytes(self._in[_HEAD.size : end])
        del self._in[:end]
        message = self._decoded(body)
        if descriptors > len(self._descriptors):
            raise Gone
        taken, self._descriptors = tuple(self._descriptors[:descriptors]), self._descriptors[descriptors:]
        return Received(message, taken)

    def _decoded(self, body: bytes) -> object:
        try:
            kind, values = json.loads(body)
            accepted = self._accepted[kind]
            declared = {field.name: _PLAIN.get(str(field.type)) for field in fields(accepted)}
            if values.keys() != declared.keys():
                raise Gone
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
            raise Gone from error
        # A truth value is a whole number to Python, not here.
        if any(plain and (type(values[name]) not in plain) for name, plain in declared.items()):
            raise Gone
        return accepted(**values)

    # Descriptors come with the first byte of their message, so before it is whole there are no others than its own.
    def _refuse_surplus(self, claimed: int) -> None:
        if len(self._descriptors) > claimed:
            raise Gone


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
