"""The signing service: one plan, one signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.serving.remote_server import RemoteServer
from datacrumbs.serving.shares import Limits
from datacrumbs.signer import looking  # noqa: F401 - once, not in each child
from datacrumbs.signer.request import SIGNING, answer_request

if TYPE_CHECKING:
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
        super().__init__(SIGNING, limits or Limits(), remote)
        self.authority = authority

    async def answer(self, visit: Visit) -> None:
        """Answer a connection's one request by one reply."""
        body = await self.read(visit)
        # The turn ends when the reply has left: a user has one reply at most that is not read.
        async with self.turn(visit):
            report, reply = await self.judged(
                visit, lambda: answer_request(self.authority, visit.peer, body, visit.digest), body
            )
            self.authority.compilation.learn(report.found)
            if report.decision:
                self.note(visit.share.key, visit.peer, visit.started, report)
            await self.send(visit, reply)
