"""A service that answers requests: one of each connection, one of each user at a time, each decided by a child.

Nothing that a caller sent is parsed here: the thread that serves all moves bytes.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from datacrumbs.serving.caller import caller_of
from datacrumbs.serving.children import Children, give, received
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.process_ends import ended
from datacrumbs.serving.protocol import LENGTH
from datacrumbs.serving.reception import Reception, Visit
from datacrumbs.serving.replies import busy, read_report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from datacrumbs.serving.caller import Caller
    from datacrumbs.serving.replies import RequestReport, ServiceName
    from datacrumbs.serving.shares import Limits

REPORT_LIMIT = 1 << 20
REST_SECONDS = 0.1
"""Between requests of a user for which children are begun: a fork holds up the one thread that serves all."""


class Server(Reception):
    """Answers requests on a listening socket until it is stopped.

    Args:
        name: How the service is called.
        limits: What callers may use up.
        spares: How many children wait for requests.
    """

    def __init__(self, name: ServiceName, limits: Limits, spares: int = 0) -> None:
        super().__init__(name, limits)
        self.judges = Children(name, self._judge_in_child, self.warm_up, spares)
        self.kinds.append(self.judges)
        self._checks = asyncio.Semaphore(limits.checks)

    async def answer(self, visit: Visit) -> None:
        """Answer a connection's one request by one reply."""
        body = await self.read(visit)
        # The turn ends when the reply has left: a user has one reply at most that is not read.
        async with self.turn(visit):
            report, reply = await self.judged(visit, body)
            self.learn(report)
            if report.decision:
                self.note(visit, report)
            await self.send(visit, reply)
            if visit.rests:
                await asyncio.sleep(REST_SECONDS)

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

    def learn(self, report: RequestReport) -> None:
        """Use for later requests what one has found out."""

    async def read(self, visit: Visit) -> bytearray:
        """The request; counted to its user.

        Raises:
            DenialError: When it is too large, or does not arrive whole and in time.
        """
        try:
            async with asyncio.timeout(self.limits.request_seconds):
                (size,) = LENGTH.unpack(await received(visit.connection, LENGTH.size))
                if size > self.limits.request_bytes:
                    raise DenialError(
                        "request.size",
                        f"a request of {size} bytes; at most {self.limits.request_bytes} are taken",
                        "select fewer functions",
                    )
                self.hold(visit, size)
                return await received(visit.connection, size)
        except TimeoutError:
            seconds = self.limits.request_seconds
            raise DenialError("request.timeout", f"the request did not arrive within {seconds:g} s") from None

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
        """A user's requests, one after the other, each with its child to the end."""
        turn = visit.share.turn
        await self.wait_for(turn)
        try:
            yield
        finally:
            try:
                for child in visit.left:
                    await ended(child)
            finally:
                turn.release()

    async def judged(self, visit: Visit, body: bytearray) -> tuple[RequestReport, bytearray]:
        """What a child answers that judges a request: its report and its reply.

        Args:
            visit: Whose request it is, who has the `turn`.
            body: The request, which is emptied.

        Raises:
            DenialError: When there is no room, or it takes too much.
        """
        await self.wait_for(self._checks)
        with ExitStack() as place:
            place.callback(self._checks.release)
            bounds = self.limits.check.stretched()
            child, visit.rests = self.judges.one_for(visit.share.key)
            async with self.judges.asked(child, bounds, place.close, visit.left):
                await give(child, bounds, _head(visit), body)
                body.clear()
                (size,) = LENGTH.unpack(await received(child.channel, LENGTH.size))
                report = read_report(await received(child.channel, min(size, REPORT_LIMIT)))
                self.hold(visit, report.size)
                reply = await received(child.channel, report.size)
        if report.fault and self.is_quiet(visit):
            self.logger.error("%s", report.fault)
        return report, reply

    def _judge_in_child(self, data: bytearray, _descriptors: list[int]) -> bytes:
        (size,) = LENGTH.unpack_from(data)
        begin = LENGTH.size + size
        pid, uid, gid, host, digest = json.loads(data[LENGTH.size : begin])
        del data[:begin]
        return self.judge(caller_of(pid, uid, gid, host), data, bytes.fromhex(digest))


def _head(visit: Visit) -> bytes:
    peer = visit.peer
    head = json.dumps([peer.pid, peer.uid, peer.gid, peer.host, visit.digest.hex()]).encode()
    return LENGTH.pack(len(head)) + head
