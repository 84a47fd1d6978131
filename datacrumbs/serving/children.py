"""The children of a service: each does one piece of work, within limits, and then is gone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.serving.limited import LimitError, UndecidedError, check_end, start
from datacrumbs.serving.process_ends import ended
from datacrumbs.serving.protocol import PART
from datacrumbs.serving.replies import busy, too_much, undecided
from datacrumbs.serving.spares import READY, Spares, order_of, prepare

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from datacrumbs.serving.denial import DenialError
    from datacrumbs.serving.limited import Bounds, Child
    from datacrumbs.serving.replies import ServiceName
    from datacrumbs.serving.spares import Spare, Work

FILL_SECONDS = 0.1  # so that what was just begun has the processor
_Child = TypeVar("_Child", bound="Child")


async def received(connection: socket.socket, size: int) -> bytearray:
    """The next bytes of this number, from a connection or a child.

    Raises:
        EOFError: The other side ends before.
        OSError: The connection breaks.
    """
    data, loop = bytearray(), asyncio.get_running_loop()
    while len(data) < size:
        part = await loop.sock_recv(connection, min(size - len(data), PART))
        if not part:
            raise EOFError
        data += part
    return data


async def give(spare: Spare, bounds: Bounds, *data: bytes | bytearray) -> None:
    """Give a child its order, in parts; what it says of being ready is heard, its answer is next.

    Raises:
        EOFError: It has ended.
        OSError: Likewise.
    """
    loop = asyncio.get_running_loop()
    with suppress(OSError):  # of one that ends, which gives no answer either
        for part in (order_of(bounds, sum(map(len, data))), *data):
            await loop.sock_sendall(spare.channel, part)
    await received(spare.channel, len(READY))


class Children:
    """Those that do one kind of work, some of them begun before there is any.

    Args:
        name: How the service is called.
        work: What they do.
        warm_up: What those go through that wait.
        spares: How many wait.
    """

    def __init__(self, name: ServiceName, work: Work, warm_up: Callable[[], object], spares: int) -> None:
        self._name = name
        self._work = work
        self._spares = Spares(lambda: prepare(work, warm_up), spares)
        self._filling: asyncio.TimerHandle | None = None
        self._closed = False

    def fill(self) -> None:
        """Begin one where one is missing, and the next one later."""
        self._filling = None
        if self._closed:
            return
        try:
            more = self._spares.fill()
        except OSError:  # no process or no descriptor: then each piece of work begins its own
            more = True
        if more:
            self._fill_later()

    def _fill_later(self) -> None:
        if self._filling is None and self._spares.most:
            self._filling = asyncio.get_running_loop().call_later(FILL_SECONDS, self.fill)

    async def renew(self) -> None:
        """Have others wait than those that were begun before something changed."""
        children = self._spares.clear()
        self.fill()
        for child in children:
            await ended(child)

    def have_none_wait(self) -> None:
        """Begin each one for its work."""
        self._spares.most = 0

    async def close(self) -> None:
        """Have none wait any more."""
        self._closed = True
        await self.renew()

    def one_for(self, user: int) -> tuple[Spare, bool]:
        """One for a user's order, and whether it was begun for it though others can have one that is ready.

        Raises:
            DenialError: When none can be begun.
        """
        self._fill_later()
        ready = self._spares.take(user)
        return ready or self._begun(lambda: prepare(self._work)), ready is None and self._spares.most > 0

    def other(self, work: Callable[[], bytes], bounds: Bounds) -> AbstractAsyncContextManager[Child]:
        """One that is begun for work of another kind; see `asked`."""
        bounds = bounds.stretched()
        return self.asked(self._begun(lambda: start(lambda _: work(), bounds)), bounds)

    def _begun(self, begin: Callable[[], _Child]) -> _Child:
        try:
            return begin()
        except OSError:  # no process or no descriptor
            raise busy(self._name) from None

    @asynccontextmanager
    async def asked(
        self, child: Child, bounds: Bounds, killed: Callable[[], object] = lambda: None, left: list[Child] | None = None
    ) -> AsyncIterator[Child]:
        """A child whose answer is `received` within; whatever happens, it is killed afterwards.

        The kernel does not end a process that waits for a file system which hangs. Then its user waits for its end,
        who has one such process at most; what others wait for is given back by ``killed``.

        Args:
            child: It.
            bounds: What it may take.
            killed: Called when it is killed.
            left: Takes it, to be waited for; without, it is waited for here.

        Raises:
            DenialError: When there is no answer in time, or it ends before what is read, by how it ended.
        """
        child.channel.settimeout(0)
        is_short = False
        try:
            # The child's own alarm comes first.
            async with asyncio.timeout(bounds.clock_seconds + 1):
                yield child
        except TimeoutError:
            raise self._undecided() from None
        except (EOFError, ConnectionResetError):  # the latter where it has not read all of its order
            is_short = True
        finally:
            child.channel.close()
            child.kill()
            killed()
            if left is None or is_short:
                status = await ended(child)
            else:
                left.append(child)
        if is_short:
            raise self._refusal(status)

    def _undecided(self) -> DenialError:
        return undecided(f"the {self._name.words} did not get to a decision in time")

    def _refusal(self, status: int) -> DenialError:
        try:
            check_end(status)
        except UndecidedError:
            return self._undecided()
        except LimitError:
            pass
        return too_much()
