"""Children that are begun before there is work for them, so that who waits for the work waits for nothing else.

A fork copies each page of memory that it writes to, which takes longer than most work. So a spare goes once through
what it will have to do, with input of the program's own, then waits. It does one piece of work, within limits that
count from there, and ends: what it was given is seen by no other.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.serving.limited import Bounds, Child, answered, limit, start
from datacrumbs.serving.protocol import receive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Work = Callable[[bytearray, list[int]], bytes]

ORDER = struct.Struct("<QddI")  # the bounds, and how many bytes of input follow
WARM_UP_SECONDS = 60.0
READY = b"."
EVERY_SECONDS = 1.0
"""How often a user gets a spare: to make one takes more than a request does."""
REMEMBERED = 4096


class Spare(Child):
    """A child that reads its order from its channel; the first byte that comes from there says that it is ready."""

    __slots__ = ()

    def is_ready(self) -> bool | None:
        """Whether it has warmed up; None for one that has ended before."""
        try:
            return bool(self.channel.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)) or None
        except BlockingIOError:
            return False
        except OSError:
            return None

    def is_lost(self) -> bool:
        """Whether it has ended or is stopped, by whatever has its user id."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None

    def answer(self, bounds: Bounds, data: bytes, most: int, descriptors: Iterable[int] = ()) -> bytes:
        """Its answer to an order, waited for.

        Args:
            bounds: What it may take from now on.
            data: What it works on.
            most: Bytes of the answer that are taken.
            descriptors: What it gets beside.

        Raises:
            LimitError: When it ended in another way than with its answer; an `UndecidedError` when that was for the
                time on the clock.
        """
        with suppress(OSError):  # of one that has ended, whose end says it
            socket.send_fds(self.channel, [order_of(bounds, len(data))], list(descriptors))
            self.channel.sendall(data)
        return answered(self, bounds, len(READY) + most)[len(READY) :]

    def dismiss(self) -> None:
        """Let it end without work; `wait` has to follow."""
        self.channel.close()
        self.kill()


def order_of(bounds: Bounds, size: int) -> bytes:
    """The beginning of an order whose input has this many bytes."""
    return ORDER.pack(bounds.memory, bounds.processor_seconds, bounds.clock_seconds, size)


def prepare(work: Work, warm_up: Callable[[], object] | None = None) -> Spare:
    """Begin a child that does ``work`` once its order arrives, and ends where none can arrive any more.

    Args:
        work: What to do with the input and the descriptors of the order.
        warm_up: Goes through the same with input of its own; what comes of it counts for nothing.

    Raises:
        OSError: When no process or socket can be made.
    """
    child = start(lambda channel: _when_ordered(channel, work, warm_up), None)
    return Spare(child.pid, child.channel)


def _when_ordered(orders: socket.socket, work: Work, warm_up: Callable[[], object] | None) -> bytes:
    if warm_up is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, WARM_UP_SECONDS)
        with suppress(Exception):
            warm_up()
        signal.setitimer(signal.ITIMER_REAL, 0)
    orders.sendall(READY)
    data, descriptors, _, _ = socket.recv_fds(orders, ORDER.size, 1, socket.MSG_WAITALL)
    memory, processor, clock, size = ORDER.unpack(data)
    limit(Bounds(memory, processor, clock))
    return work(receive(orders, size), descriptors)


@dataclass(slots=True)
class Spares:
    """A few spares, each user's share of them bounded.

    Args:
        make: Begins one.
        most: How many.
    """

    make: Callable[[], Spare]
    most: int
    _waiting: list[Spare] = field(default_factory=list)
    _warming_up: list[Spare] = field(default_factory=list)
    _ended: list[Spare] = field(default_factory=list)
    _last: dict[int, float] = field(default_factory=dict)

    def fill(self) -> bool:
        """Begin one where one is missing; whether more are.

        Raises:
            OSError: When no process can be made.
        """
        self._look()
        if self._missing() > 0:
            self._warming_up.append(self.make())
        return self._missing() > 0

    def take(self, key: int) -> Spare | None:
        """A spare for this user, if one has warmed up and the user has had none lately."""
        self._look()
        now = time.monotonic()
        if not self._waiting or now - self._last.get(key, -EVERY_SECONDS) < EVERY_SECONDS:
            return None
        self._last.pop(key, None)
        while len(self._last) >= REMEMBERED:
            del self._last[next(iter(self._last))]
        self._last[key] = now
        return self._waiting.pop(0)

    def clear(self) -> list[Spare]:
        """Dismiss all; their ends are to be waited for."""
        for spare in (*self._waiting, *self._warming_up):
            self._dismiss(spare)
        self._waiting, self._warming_up = [], []
        ended, self._ended = self._ended, []
        return ended

    def _missing(self) -> int:
        return self.most - len(self._waiting) - len(self._warming_up)

    def _look(self) -> None:
        for spare in list(self._warming_up):
            ready = spare.is_ready()
            if ready is not False:
                self._warming_up.remove(spare)
            if ready:
                self._waiting.append(spare)
            elif ready is None:
                self._dismiss(spare)
        for spare in [spare for spare in self._waiting if spare.is_lost()]:
            self._waiting.remove(spare)
            self._dismiss(spare)
        self._ended = [spare for spare in self._ended if not spare.has_ended()]

    def _dismiss(self, spare: Spare) -> None:
        spare.dismiss()
        self._ended.append(spare)
