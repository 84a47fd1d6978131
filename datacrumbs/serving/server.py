"""A service for all users of a host: many callers at once, each bounded in bytes, time and number.

Every connection carries one request. It is counted to its user's share when it is accepted, before
anything is read, until its socket is closed. One thread moves bytes; each request is parsed and decided by a child.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import logging
import os
import signal
import time
from collections import Counter
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from datacrumbs.serving.caller import Caller, SubordinateIds, caller_of, peer_of, share_of
from datacrumbs.serving.decisions import Decision, DecisionLog, milliseconds_since
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.limited import Bounds, LimitError, UndecidedError, check_end, start
from datacrumbs.serving.listening import BACKLOG
from datacrumbs.serving.process_ends import ended
from datacrumbs.serving.protocol import LENGTH, PART
from datacrumbs.serving.replies import (
    RequestReport,
    ServiceName,
    busy,
    failed,
    read_report,
    refusal_frame,
    too_much,
    undecided,
)
from datacrumbs.serving.shares import Limits, Share, Shares, count_down
from datacrumbs.serving.spares import Spares, order_of, prepare

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
    from contextlib import AbstractAsyncContextManager

    from datacrumbs.serving.limited import Child
    from datacrumbs.serving.spares import Spare

STOPPING = (signal.SIGTERM, signal.SIGINT)
ACCEPTS_A_TURN = 32
OUT_OF_DESCRIPTORS_SECONDS = 0.1
REPORT_LIMIT = 1 << 20
LOOK_UP = Bounds(memory=64 << 20, processor_seconds=5, clock_seconds=30)
LOOK_UPS = 4
KNOWN_LIMIT = 4096
KNOWN_SECONDS = 60.0
FILL_SECONDS = 0.1  # so that what was just begun has the processor
REST_SECONDS = 0.1
"""Between requests of a user for which children are begun: a fork holds up the one thread that serves all."""
_SIGNAL_SET_BYTES = 128  # sigset_t of glibc and musl
NEWCOMER = -2
"""The share in the log of ids that are not looked up yet."""


def signal_descriptor(numbers: Iterable[int]) -> int:
    """A descriptor that is readable when one of these signals, which the caller blocks, is pending (signalfd(2)).

    Raises:
        OSError: When the kernel gives none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    signals = ctypes.create_string_buffer(_SIGNAL_SET_BYTES)
    for number in numbers:
        libc.sigaddset(signals, int(number))
    descriptor: int = libc.signalfd(-1, signals, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


@dataclass(slots=True)
class Visit:
    """One connection, from accept to close.

    ``newcomer_of``: by whose subordinate ids it came. ``digest``: of the one request that may come from another host.
    ``rests``: whether a child was begun for it that another user could have had.
    """

    connection: socket.socket
    peer: Caller
    share: Share
    started: float
    held: int = 0
    newcomer_of: str | None = None
    digest: bytes = b""
    rests: bool = False


class Server:
    """Answers requests on a listening socket until it is stopped.

    Args:
        name: How the service is called.
        limits: What callers may use up.
        spares: How many children wait for requests.
    """

    def __init__(self, name: ServiceName, limits: Limits, spares: int = 0) -> None:
        self.name = name
        self.limits = limits
        self._logger = logging.getLogger(f"datacrumbs.{name.logger}")
        self._busy = refusal_frame(busy(name))
        self._shares = Shares(self.limits)
        self._known: dict[int, tuple[int, float]] = {}
        self._known_others: dict[int, tuple[int, float]] = {}  # ids that are not their own share: any number of them
        self._subordinates = SubordinateIds()
        self._newcomers: Counter[str | None] = Counter()  # by whose subordinate ids they come
        self._tasks: set[asyncio.Task[object]] = set()
        self._listeners: set[socket.socket] = set()
        self._spares = Spares(lambda: self._child_for_a_request(warm=True), spares)
        self._filling: asyncio.TimerHandle | None = None

    async def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; requests in work are finished first.

        Args:
            listener: Bound and listening AF_UNIX socket.
            ready: Called once requests are answered.
        """
        self.loop = loop = asyncio.get_running_loop()
        self._checks = asyncio.Semaphore(self.limits.checks)
        self._look_ups = asyncio.Semaphore(LOOK_UPS)
        self._log = DecisionLog(loop.call_later, lambda text: self._logger.info("%s", text))
        self.stopping = asyncio.Event()
        # Blocked from here to the end of the process, so that no number of them, whenever they arrive, can end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        stops = signal_descriptor(STOPPING)
        loop.add_reader(stops, self.stopping.set)
        gc.freeze()  # children share it
        await self.begin()
        listener.settimeout(0)
        listener.listen(BACKLOG)  # systemd's may be shorter
        self._listen(listener, lambda connection: self._admit(connection, peer_of(connection)))
        self._fill()
        ready()
        await self.stopping.wait()
        for each in self._listeners:
            loop.remove_reader(each)
        loop.remove_reader(stops)
        os.close(stops)
        await self._finish()

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.limits.request_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for child in self._spares.clear():
            await ended(child)
        self._log.flush()

    def _fill(self) -> None:
        self._filling = None
        if self.stopping.is_set():
            return
        try:
            more = self._spares.fill()
        except OSError:  # no process or no descriptor: then each request begins its own
            more = True
        if more:
            self._fill_later()

    def _fill_later(self) -> None:
        if self._filling is None and self._spares.most:
            self._filling = self.loop.call_later(FILL_SECONDS, self._fill)

    def renew_spares(self) -> None:
        """Have other children wait for requests than those that were begun before something changed."""
        for child in self._spares.clear():
            self._spawn(ended(child))
        self._fill()

    def _listen(self, listener: socket.socket, admit: Callable[[socket.socket], object]) -> None:
        self._listeners.add(listener)
        if not self.stopping.is_set():
            self.loop.add_reader(listener, self._accept, listener, admit)

    # A refused connection costs neither a task nor a descriptor, so that a flood of them holds up little else.
    def _accept(self, listener: socket.socket, admit: Callable[[socket.socket], object]) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor or no memory
                self.loop.remove_reader(listener)
                self.loop.call_later(OUT_OF_DESCRIPTORS_SECONDS, self._listen, listener, admit)
                return
            connection.settimeout(0)
            admit(connection)

    def _admit(self, connection: socket.socket, peer: Caller, digest: bytes = b"") -> None:
        started = time.monotonic()
        known = self._known_share(peer.uid)
        share = None
        if known is not None or self._has_room_for_newcomer(peer.uid):
            share = self._shares.enter(peer.uid if known is None else known)
        if share is None:
            visit = Visit(connection, peer, Share(NEWCOMER if known is None else known), started)
            self._refuse(visit, RequestReport("refused", "service.busy"), self._busy)
            return
        visit = Visit(connection, peer, share, started, newcomer_of=self._subordinates.owner(peer.uid), digest=digest)
        # Counted here: more are accepted before the task begins.
        self._count(visit, is_new=known is None)
        self._spawn(self._serve(visit, known))

    # What `_serve` and `_look_up` give back.
    def _count(self, visit: Visit, *, is_new: bool) -> None:
        self._newcomers[visit.newcomer_of] += is_new

    def _refuse(self, visit: Visit, report: RequestReport, reply: bytes) -> None:
        self.note(visit.share.key, visit.peer, visit.started, report)
        with suppress(OSError):
            visit.connection.send(reply)
        visit.connection.close()

    def _spawn(self, work: Coroutine[object, object, object]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, visit: Visit, known: int | None) -> None:
        try:
            async with self._reported(visit):
                if known is None:
                    await self._look_up(visit)
                await self.answer(visit)
        finally:
            visit.connection.close()
            self._shares.give_back(visit.share, visit.held)
            self._shares.leave(visit.share)

    # What is raised within is reported to the caller and to the log.
    @asynccontextmanager
    async def _reported(self, visit: Visit) -> AsyncIterator[None]:
        try:
            yield
        except DenialError as error:
            self.note(
                visit.share.key, visit.peer, visit.started, RequestReport("refused", error.code, reason=error.message)
            )
            with suppress(OSError, TimeoutError):
                await self.send(visit, refusal_frame(error))
        except Exception as error:  # the event loop's boundary: one request must not end the service
            # Errors of a connection name no file.
            if isinstance(error, OSError) and error.filename is None:
                self.note(visit.share.key, visit.peer, visit.started, RequestReport("dropped", "connection.lost"))
                return
            self._logger.exception("a request failed")
            with suppress(OSError, TimeoutError):
                await self.send(visit, refusal_frame(failed(self.name)))

    # Each subordinate id is new until it is looked up: their user has as many places among newcomers as connections.
    def _has_room_for_newcomer(self, uid: int) -> bool:
        owner = self._subordinates.owner(uid)
        all_taken = self._newcomers.total() >= self.limits.newcomers
        return not all_taken and (owner is None or self._newcomers[owner] < self.limits.connections_per_user)

    def _known_share(self, uid: int) -> int | None:
        share, until = self._known.get(uid) or self._known_others.get(uid, (0, 0.0))
        return share if time.monotonic() < until else None

    def _remember(self, uid: int, share: int) -> None:
        known = self._known if share == uid else self._known_others
        while len(known) >= KNOWN_LIMIT:
            del known[next(iter(known))]
        known[uid] = (share, time.monotonic() + KNOWN_SECONDS)

    # Whose share a user's connections count to; until it is known, to the id's own.
    async def _look_up(self, visit: Visit) -> None:
        uid = visit.peer.uid
        try:
            async with self._look_ups:
                known = self._known_share(uid)  # by now, from another connection
                if known is None:
                    async with self._answer_of(lambda: str(share_of(uid)).encode(), LOOK_UP) as reader:
                        text = await reader.read(64)
                    if not text:  # the database did not answer in time: then this can be any user's
                        raise busy(self.name)
                    known = int(text)
                    self._remember(uid, known)
        finally:
            count_down(self._newcomers, visit.newcomer_of)
        if known != visit.share.key:
            # Leaves first, so that a full service has room for the one that it has already.
            before = visit.share
            self._shares.leave(before)
            share = self._shares.enter(known)
            if share is None:
                self._shares.readmit(before)
                raise busy(self.name)
            visit.share = share

    async def begin(self) -> None:
        """Do what comes before the first request."""

    async def answer(self, visit: Visit) -> None:
        """Answer a connection; what it raises is reported to the caller.

        Raises:
            DenialError: For a refusal.
        """
        raise NotImplementedError

    async def wait_for(self, place: asyncio.Lock | asyncio.Semaphore) -> None:
        """Take a place, whose release has to follow.

        Raises:
            DenialError: When there is none in time.
        """
        try:
            async with asyncio.timeout(self.limits.wait_seconds):
                await place.acquire()
        except TimeoutError:
            raise busy(self.name) from None

    @asynccontextmanager
    async def turn(self, visit: Visit) -> AsyncIterator[None]:
        """A user's requests, one after the other."""
        await self.wait_for(visit.share.turn)
        try:
            yield
        finally:
            visit.share.turn.release()

    def judge(self, peer: Caller, body: bytearray, digest: bytes) -> bytes:
        """Judge a request, in a child with a request's limits; gives the report and the reply (see `reported`).

        Args:
            peer: Who asks.
            body: The request, which may be emptied.
            digest: Of the one request that may come from another host; empty for those of this host.
        """
        raise NotImplementedError

    def warm_up(self) -> None:
        """Go through what `judge` does, in a child that waits for a request of anybody's."""

    async def judged(self, visit: Visit, body: bytearray) -> tuple[RequestReport, bytes]:
        """What a child answers that judges a request: its report and its reply.

        Args:
            visit: Whose request it is.
            body: The request, which is emptied.

        Raises:
            DenialError: When there is no room, or it takes too much.
        """
        await self.wait_for(self._checks)
        with ExitStack() as place:
            place.callback(self._checks.release)
            spare = self._spare_for(visit)
            place.enter_context(spare.orders)
            bounds = self.limits.check.stretched()
            async with self._answering(lambda: spare.child, bounds, killed=place.close) as reader:
                await self._order(spare, bounds, visit, body)
                (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                report = read_report(await reader.readexactly(min(size, REPORT_LIMIT)))
                self.hold(visit, report.size)
                reply = await reader.readexactly(report.size)
        if report.fault:
            self._logger.error("%s", report.fault)
        return report, reply

    def _spare_for(self, visit: Visit) -> Spare:
        self._fill_later()
        ready = self._spares.take(visit.share.key)
        visit.rests = ready is None and self._spares.most > 0
        try:
            return ready or self._child_for_a_request(warm=False)
        except OSError:  # no process or no descriptor
            raise busy(self.name) from None

    def _child_for_a_request(self, *, warm: bool) -> Spare:
        def work(data: bytearray, _descriptors: list[int]) -> bytes:
            (size,) = LENGTH.unpack_from(data)
            begin = LENGTH.size + size
            pid, uid, gid, host, digest = json.loads(data[LENGTH.size : begin])
            del data[:begin]
            return self.judge(caller_of(pid, uid, gid, host), data, bytes.fromhex(digest))

        return prepare(work, self.warm_up if warm else None)

    async def _order(self, spare: Spare, bounds: Bounds, visit: Visit, body: bytearray) -> None:
        peer = visit.peer
        head = json.dumps([peer.pid, peer.uid, peer.gid, peer.host, visit.digest.hex()]).encode()
        data = LENGTH.pack(len(head)) + head
        spare.orders.settimeout(0)
        with suppress(OSError):  # one that has ended gives no answer either
            await self.loop.sock_sendall(spare.orders, order_of(bounds, len(data) + len(body)) + data)
            await self.loop.sock_sendall(spare.orders, body)
        body.clear()

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

    async def read(self, visit: Visit) -> bytearray:
        """The request; counted to its user.

        Raises:
            DenialError: When it is too large, or does not arrive whole and in time.
        """
        try:
            async with asyncio.timeout(self.limits.request_seconds):
                (size,) = LENGTH.unpack(await self._receive(visit, LENGTH.size))
                if size > self.limits.request_bytes:
                    raise DenialError(
                        "request.size",
                        f"a request of {size} bytes; at most {self.limits.request_bytes} are taken",
                        "select fewer functions",
                    )
                self.hold(visit, size)
                return await self._receive(visit, size)
        except TimeoutError:
            seconds = self.limits.request_seconds
            raise DenialError("request.timeout", f"the request did not arrive within {seconds:g} s") from None

    async def _receive(self, visit: Visit, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            part = await self.loop.sock_recv(visit.connection, min(size - len(data), PART))
            if not part:
                raise DenialError("request.short", "the connection closed before the request's end")
            data += part
        return data

    async def send(self, visit: Visit, reply: bytes) -> None:
        """Send a reply, for a bounded time."""
        async with asyncio.timeout(self.limits.reply_seconds):
            await self.loop.sock_sendall(visit.connection, reply)

    async def rest(self, visit: Visit) -> None:
        """Have the user's next request wait, where this one could not have a child that was ready."""
        if visit.rests:
            await asyncio.sleep(REST_SECONDS)

    def note(self, share: int, peer: Caller, started: float, report: RequestReport) -> None:
        """Log a decision."""
        caller = replace(peer, user=report.user or peer.user)
        milliseconds = milliseconds_since(started)
        self._log.add(share, Decision(report.decision, report.code, caller, report.digest, report.reason, milliseconds))

    def _answer_of(
        self, work: Callable[[], bytes], bounds: Bounds
    ) -> AbstractAsyncContextManager[asyncio.StreamReader]:
        bounds = bounds.stretched()
        return self._answering(lambda: start(work, bounds), bounds)

    @asynccontextmanager
    async def _answering(
        self, begun: Callable[[], Child], bounds: Bounds, killed: Callable[[], object] = lambda: None
    ) -> AsyncIterator[asyncio.StreamReader]:
        """What a child answers, as a stream; whatever happens, the child is gone afterwards.

        ``killed`` is called before. The kernel does not end a process that waits for a file system which hangs. Then
        its user waits for its end, who has one such process at most; what others wait for is given back by ``killed``.
        An answer that is too short for what reads it is a refusal, by how the child ended.
        """
        try:
            child = begun()
        except OSError:  # no process or no descriptor
            raise busy(self.name) from None
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(child.answer, "rb", 0)
        )
        is_short = False
        try:
            # The child's own alarm comes first.
            async with asyncio.timeout(bounds.clock_seconds + 1):
                yield reader
        except TimeoutError:
            raise self._undecided() from None
        except asyncio.IncompleteReadError:
            is_short = True
        finally:
            transport.close()
            child.kill()
            killed()
            status = await ended(child)
        if is_short:
            raise self._refusal(status)

    def _undecided(self) -> DenialError:
        return undecided(f"the {self.name.words} did not get to a decision in time")

    def _refusal(self, status: int) -> DenialError:
        try:
            check_end(status)
        except UndecidedError:
            return self._undecided()
        except LimitError:
            pass
        return too_much()
