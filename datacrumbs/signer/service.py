"""The signing service: one plan, one signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.serving.remote_server import RemoteServer
from datacrumbs.serving.shares import Limits
from datacrumbs.signer import practice
from datacrumbs.signer.request import SIGNING, answer_request
from datacrumbs.signer.target_check import ReadyLook

if TYPE_CHECKING:
    from datacrumbs.serving.caller import Caller
    from datacrumbs.serving.remote_server import Remote
    from datacrumbs.serving.server import Visit
    from datacrumbs.signer.authority import Authority


class Service(RemoteServer):
    """Answers requests for signatures.

    Args:
        authority: Decides.
        limits: What callers may use up.
        remote: Where relays of other hosts ask, if they may.
    """

    def __init__(self, authority: Authority, limits: Limits | None = None, remote: Remote | None = None) -> None:
        limits = limits or Limits()
        super().__init__(SIGNING, limits, remote, spares=limits.checks)
        self.authority = authority
        self._look: ReadyLook | None = None  # in a child that waits for a request

    async def begin(self) -> None:
        """Make once what the children practise with."""
        await super().begin()
        practice.plan()

    def warm_up(self) -> None:
        """Go through a request of the service's own; the child that looks at files is begun first."""
        self._look = ReadyLook(practice.practise_look)
        practice.practise_request(self.authority)

    def judge(self, peer: Caller, body: bytearray, digest: bytes) -> bytes:
        """Check a plan and sign it."""
        if self._look is None:
            return answer_request(self.authority, peer, body, digest)
        try:
            return answer_request(self.authority, peer, body, digest, self._look.ask)
        finally:
            self._look.dismiss()

    async def answer(self, visit: Visit) -> None:
        """Answer a connection's one request by one reply."""
        body = await self.read(visit)
        # The turn ends when the reply has left: a user has one reply at most that is not read.
        async with self.turn(visit):
            report, reply = await self.judged(visit, body)
            if report.found:
                self.authority.compilation.learn(report.found)
                self.renew_spares()  # they do not know it
            if report.decision:
                self.note(visit.share.key, visit.peer, visit.started, report)
            await self.send(visit, reply)
            await self.rest(visit)
