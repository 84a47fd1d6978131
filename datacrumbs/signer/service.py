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
    from datacrumbs.serving.replies import RequestReport
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
        """Make once what the children practise with; where there is nothing for that, none waits for requests."""
        await super().begin()
        try:
            practice.plan()
        except Exception as error:  # noqa: BLE001 - a library of another package, in whatever form it is
            self.logger.warning("requests will take longer: processes that wait for them cannot be prepared: %r", error)
            self.judges.have_none_wait()

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

    def learn(self, report: RequestReport) -> None:
        """Remember of snippets whether they compile."""
        if report.found:
            self.authority.compilation.learn(report.found)
            self.spawn(self.judges.renew())  # they do not know it
