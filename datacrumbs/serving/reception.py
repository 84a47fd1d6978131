"""The connections of a service for all users of a host: how many of them each user may have, and what is said of them.

A connection is counted to its user's share when it is accepted, before anything is read, until its socket is closed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import struct
import time
from collections import Counter
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from datacrumbs.secure.user_rights import LOOKING_ID, looking_id
from datacrumbs.serving.asking import BUSY
from datacrumbs.serving.caller import Caller, SubordinateIds, caller_of, credentials_of, share_of
from datacrumbs.serving.children import Children, give, received
from datacrumbs.serving.decisions import Decision, DecisionLog, milliseconds_since
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.limited import Bounds, be_first
from datacrumbs.serving.listening import BACKLOG
from datacrumbs.serving.process_ends import signal_descriptor
from datacrumbs.serving.replies import RequestReport, ServiceName, busy, failed, refusal_frame
from datacrumbs.serving.shares import KnownIds, Limits, Share, Shares, count

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Coroutine

    from datacrumbs.serving.limited import Child

STOPPING = (signal.SIGTERM, signal.SIGINT)
ACCEPTS_A_TURN, LOOKS_A_TURN = 16, 128
"""Connections that are taken up one after the other, and those of them that may cost more than to turn them away: all
that is in work waits meanwhile, and who connects waits for all that is in the queue."""
OUT_OF_DESCRIPTORS_SECONDS = 0.1
LOOK_UP = Bounds(memory=64 << 20, processor_seconds=5, clock_seconds=30)
LOOK_UPS = 4
NEWCOMER = -2
"""The share in the log of ids that are not looked up yet."""
_SHARE = struct.Struct("q")


@dataclass(slots=True)
class Visit:
    """One connection, from accept to close.

    ``digest``: of the one request that may come from another host. ``rests``: whether a child was begun for it that
    another user could have had. ``left``: children that were killed, for whose ends its user waits. ``places``: where
    it is counted until it is closed. ``newcomer``: where until its user is looked up.
    """

    connection: socket.socket
    peer: Caller
    share: Share
    started: float
    digest: bytes = b""
    held: int = 0
    rests: bool = False
    left: list[Child] = field(default_factory=list)
    places: ExitStack = field(default_factory=ExitStack)
    newcomer: ExitStack = field(default_factory=ExitStack)


class Reception:
    """Takes connections on a listening socket until it is stopped.

    Args:
        name: How the service is called.
        limits: What callers may use up.
    """

    def __init__(self, name: ServiceName, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.logger = logging.getLogger(f"datacrumbs.{name.logger}")
        self._shares = Shares(self.limits)
        self._known = KnownIds()
        self._subordinates = SubordinateIds()
        self._newcomers: Counter[str | None] = Counter()  # by whose subordinate ids they come
        self._tasks: set[asyncio.Task[object]] = set()
        self._listeners: set[socket.socket] = set()
        self._look_ups = asyncio.Semaphore(LOOK_UPS)
        self._busy = refusal_frame(busy(name))
        self.lookers = Children(name, _looked_up, lambda: _looked_up(bytearray(b"0"), []), 1)
        self.kinds = [self.lookers]

    async def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; requests in work are finished first.

        Args:
            listener: Bound and listening AF_UNIX socket.
            ready: Called once requests are answered.
        """
        self.loop = loop = asyncio.get_running_loop()
        self._log = DecisionLog(loop.call_later, lambda text: self.logger.info("%s", text))
        self.stopping = asyncio.Event()
        # Blocked from here to the end of the process, so that no number of them, whenever they arrive, can end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        stops = signal_descriptor(STOPPING)
        loop.add_reader(stops, self.stopping.set)
        if looking_id() != LOOKING_ID:
            self.logger.warning(
                "it is not known that the id %d is nobody's here; children look at files as nobody", LOOKING_ID
            )
        be_first()
        gc.freeze()  # children share it
        await self.begin()
        listener.settimeout(0)
        listener.listen(BACKLOG)  # systemd's may be shorter
        self.listen(listener, self._meet)
        for children in self.kinds:
            children.fill()
        ready()
        await self.stopping.wait()
        for each in self._listeners:
            loop.remove_reader(each)
        loop.remove_reader(stops)
        os.close(stops)
        await self._finish()

    async def begin(self) -> None:
        """Do what comes before the first connection."""

    async def answer(self, visit: Visit) -> None:
        """Answer a connection; what it raises is reported to the caller.

        Raises:
            DenialError: For a refusal.
        """
        raise NotImplementedError

    async def _finish(self) -> None:
        for children in self.kinds:
            await children.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.limits.request_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._log.flush()

    def listen(self, listener: socket.socket, meet: Callable[[socket.socket], bool]) -> None:
        """Have connections taken, each by ``meet``, which says whether it did more than to turn one away."""
        self._listeners.add(listener)
        if not self.stopping.is_set():
            self.loop.add_reader(listener, self._accept, listener, meet)

    def _accept(self, listener: socket.socket, meet: Callable[[socket.socket], bool]) -> None:
        taken = 0
        for _ in range(LOOKS_A_TURN):
            if taken == ACCEPTS_A_TURN:
                return
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor or no memory
                self.loop.remove_reader(listener)
                self.loop.call_later(OUT_OF_DESCRIPTORS_SECONDS, self.listen, listener, meet)
                return
            connection.settimeout(0)
            taken += meet(connection)

    # What is refused once more costs neither a task nor a descriptor nor a line: others wait for all that came before.
    def _meet(self, connection: socket.socket) -> bool:
        pid, uid, gid = credentials_of(connection)
        known = self._known.share(uid)
        if known is not None and self._shares.is_full(known) and self._log.counts(known, BUSY):
            _turn_away(connection, self._busy)
            return False
        self.admit(connection, caller_of(pid, uid, gid))
        return True

    def admit(self, connection: socket.socket, peer: Caller, digest: bytes = b"") -> None:
        """Have a connection answered, or refuse it.

        Args:
            connection: It.
            peer: Who is at its other end.
            digest: Of the one request that may come from another host.
        """
        started = time.monotonic()
        known = self._known.share(peer.uid)
        share = None
        if known is not None or self._has_room_for_newcomer(peer.uid):
            share = self._shares.enter(peer.uid if known is None else known)
        if share is None:
            visit = Visit(connection, peer, Share(NEWCOMER if known is None else known), started)
            self.refuse(visit, busy(self.name))
            return
        visit = Visit(connection, peer, share, started, digest)
        # Counted here: more are accepted before the task begins.
        self.count(visit, is_new=known is None)
        self.spawn(self._serve(visit, is_new=known is None))
        if self._known.is_due(peer.uid):
            self.spawn(self._look_up_again(peer.uid))

    def count(self, visit: Visit, *, is_new: bool) -> None:
        """Count a connection where it has a place beside its user's share."""
        if is_new:
            count(self._newcomers, self._subordinates.owner(visit.peer.uid), visit.newcomer)

    def is_quiet(self, visit: Visit) -> bool:
        """Whether a decision about this user is logged at once, so that there is room for more words."""
        return self._log.is_quiet(visit.share.key)

    def refuse(self, visit: Visit, error: DenialError) -> None:
        """Refuse a connection that has no place."""
        self._note_refusal(visit, error)
        _turn_away(visit.connection, refusal_frame(error))

    def spawn(self, work: Coroutine[object, object, object]) -> None:
        """Have work done beside, which is finished before the service ends."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, visit: Visit, *, is_new: bool) -> None:
        try:
            async with self.reported(visit):
                if is_new:
                    await self._look_up(visit)
                await self.answer(visit)
        finally:
            visit.connection.close()
            visit.places.close()
            self._shares.give_back(visit.share, visit.held)
            self._shares.leave(visit.share)

    @asynccontextmanager
    async def reported(self, visit: Visit) -> AsyncIterator[None]:
        """What is raised within is reported to the caller and to the log."""
        try:
            try:
                yield
            except EOFError:
                raise DenialError("request.short", "the connection closed before the request's end") from None
        except DenialError as error:
            self._note_refusal(visit, error)
            with suppress(OSError, TimeoutError):
                await self.send(visit, refusal_frame(error))
        except Exception as error:  # the event loop's boundary: one request must not end the service
            # Errors of a connection name no file.
            if isinstance(error, OSError) and error.filename is None:
                self.note(visit, RequestReport("dropped", "connection.lost"))
                return
            self.logger.exception("a request failed")
            with suppress(OSError, TimeoutError):
                await self.send(visit, refusal_frame(failed(self.name)))

    # Each subordinate id is new until it is looked up: their user has as many places among newcomers as connections.
    def _has_room_for_newcomer(self, uid: int) -> bool:
        owner = self._subordinates.owner(uid)
        all_taken = self._newcomers.total() >= self.limits.newcomers
        return not all_taken and (owner is None or self._newcomers[owner] < self.limits.connections_per_user)

    # Whose share a user's connections count to; until it is known, to the id's own.
    async def _look_up(self, visit: Visit) -> None:
        with visit.newcomer:
            async with self._look_ups:
                known = self._known.share(visit.peer.uid)  # by now, from another connection
                if known is None:
                    known = await self._looked_up(visit.peer.uid)
        if known != visit.share.key:
            # Leaves first, so that a full service has room for the one that it has already.
            before = visit.share
            self._shares.leave(before)
            share = self._shares.enter(known)
            if share is None:
                self._shares.readmit(before)
                raise busy(self.name)
            visit.share = share

    # Beside the request of a user who is known: what was known holds until then.
    async def _look_up_again(self, uid: int) -> None:
        with suppress(DenialError):
            async with self._look_ups:
                await self._looked_up(uid)

    async def _looked_up(self, uid: int) -> int:
        bounds = LOOK_UP.stretched()
        child, _ = self.lookers.one_for(uid)
        try:
            async with self.lookers.asked(child, bounds):
                await give(child, bounds, b"%d" % uid)
                (share,) = _SHARE.unpack(await received(child.channel, _SHARE.size))
        except DenialError:  # the database did not answer in time: then this can be any user's
            raise busy(self.name) from None
        self._known.remember(uid, share)
        return int(share)

    def hold(self, visit: Visit, size: int) -> None:
        """Count these bytes to the user, instead of those before.

        Raises:
            DenialError: When there is no room for them.
        """
        self._shares.give_back(visit.share, visit.held)
        visit.held = 0
        if not self._shares.take(visit.share, size):
            raise busy(self.name)
        visit.held = size

    async def send(self, visit: Visit, reply: bytes | bytearray) -> None:
        """Send a reply, for a bounded time."""
        async with asyncio.timeout(self.limits.reply_seconds):
            await self.loop.sock_sendall(visit.connection, reply)

    def note(self, visit: Visit, report: RequestReport) -> None:
        """Log a decision."""
        caller = replace(visit.peer, user=report.user or visit.peer.user)
        milliseconds = milliseconds_since(visit.started)
        decision = Decision(report.decision, report.code, caller, report.digest, report.reason, milliseconds)
        self._log.add(visit.share.key, decision)

    def _note_refusal(self, visit: Visit, error: DenialError) -> None:
        self.note(visit, RequestReport("refused", error.code, reason=error.message))


def _turn_away(connection: socket.socket, reply: bytes) -> None:
    with suppress(OSError):
        connection.send(reply)
    connection.close()


def _looked_up(data: bytearray, _descriptors: list[int]) -> bytes:
    return _SHARE.pack(share_of(int(data)))
