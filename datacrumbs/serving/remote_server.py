"""A service that can be asked from other hosts, too, by their own services.

The kernel of this host does not know who is at the other end. So a connection begins with a proof: this side sends a
random number, the other side a MUNGE credential, made by the user who asks, over that number and the digest of the
request. Only then the connection is counted to that user's share, as if the user were here, and the request is read.

What comes from other hosts' users themselves is not listened to: their processes have no port below 1024.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from datacrumbs.errors import ExitCode
from datacrumbs.secure.user_rights import groups_of
from datacrumbs.serving import munge
from datacrumbs.serving.caller import Caller, caller_of
from datacrumbs.serving.children import received
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.limited import Bounds
from datacrumbs.serving.listening import BACKLOG
from datacrumbs.serving.protocol import LENGTH, VERSION, frame
from datacrumbs.serving.reception import Visit
from datacrumbs.serving.replies import busy, refusal_frame
from datacrumbs.serving.server import Server
from datacrumbs.serving.shares import ROOT, Limits, Share, count

if TYPE_CHECKING:
    import socket
    from ipaddress import IPv4Address, IPv6Address

    from datacrumbs.serving.replies import RequestReport, ServiceName

FIRST_FREE_PORT = 1024
NONCE_BYTES = 32
CREDENTIAL_LIMIT = 4096
UNPROVEN = 64
"""Most connections of which it is not proven yet who calls."""
UNPROVEN_OF_A_HOST = 24
"""Those of one host: twice as many as its relay has at once."""
OF_A_HOST = 64
"""Most connections of one host's users: its root can be each of them."""
NEWCOMERS_OF_A_HOST = 8
"""Most of them from users who are being looked up."""
PROOF_SECONDS = 30.0
PROOF = Bounds(memory=64 << 20, processor_seconds=5, clock_seconds=20)
"""Of the child that has a credential decoded; the library waits for munged for 10 seconds."""
PROOFS = 4
_PURPOSE = b"datacrumbs request 1\n"
_UNKNOWN = -1
_UNPROVEN_SHARE = -3
"""Of the log: callers of whom nothing is proven."""


class Hosts(Protocol):
    """Which other hosts may ask."""

    def check(self, address: IPv4Address | IPv6Address) -> None:
        """Raise `DenialError` unless a host may ask."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Where other hosts ask, and which ones may: a bound TCP socket, and the hosts."""

    listener: socket.socket
    hosts: Hosts


def binding(nonce: bytes, request: bytes | bytearray) -> bytes:
    """What the credential for a request is made over."""
    return _PURPOSE + nonce + hashlib.sha256(request).digest()


def check_bound(request: bytes | bytearray, digest: bytes) -> None:
    """Check that a request is the one for which its caller made the credential.

    Args:
        request: It.
        digest: What `proven` found; empty for a request of this host, which needs none.

    Raises:
        DenialError: When it is another one.
    """
    if digest and hashlib.sha256(request).digest() != digest:
        raise DenialError("remote.binding", "the MUNGE credential is for another request")


def proven(text: bytes, nonce: bytes) -> tuple[int, int, bytes]:
    """Who made a credential: user, group, and the digest of the request for which it was made.

    The group counts if it is one of the account's on this host; otherwise it is the account's own.

    Raises:
        DenialError: When it proves nothing here.
    """
    try:
        proof = munge.proof(text)
    except munge.MungeError as error:
        code = "remote.munge" if error.unavailable else "remote.credential"
        raise DenialError(code, error.message, error.hint, exit_code=error.exit_code) from None
    expected = binding(nonce, b"")
    digest = proof.payload[-hashlib.sha256().digest_size :]
    if len(proof.payload) != len(expected) or proof.payload[: -len(digest)] != expected[: -len(digest)]:
        raise DenialError("remote.binding", "the MUNGE credential is for another connection")
    if proof.reader != os.geteuid():
        raise DenialError("remote.credential", "the MUNGE credential is not for the signer alone")
    if proof.uid == ROOT:
        raise DenialError("remote.root", "root of another host is not root here", "ask as a user")
    gid, groups = groups_of(proof.uid)
    return proof.uid, proof.gid if proof.gid in groups else gid, digest


class RemoteServer(Server):
    """Answers requests of this host's users and, by other hosts' services, of theirs.

    Args:
        name: How the service is called.
        limits: What callers may use up.
        remote: Where other hosts ask; None where they may not.
        spares: As for `Server`.
    """

    def __init__(self, name: ServiceName, limits: Limits, remote: Remote | None = None, spares: int = 0) -> None:
        super().__init__(name, limits, spares)
        self._remote = remote
        self._unproven: Counter[str] = Counter()  # connections by host
        self._proven: Counter[str] = Counter()
        self._newcomers_of: Counter[str] = Counter()
        self._remote_of: Counter[int] = Counter()  # by user

    async def begin(self) -> None:
        """Listen to other hosts."""
        await super().begin()
        self._proofs = asyncio.Semaphore(PROOFS)
        # One check at least is for users of this host.
        self._remote_checks = asyncio.Semaphore(max(self.limits.checks - 1, 1))
        if self._remote is not None:
            self._remote.listener.settimeout(0)
            self._remote.listener.listen(BACKLOG)
            self.listen(self._remote.listener, self._meet_host)

    def _meet_host(self, connection: socket.socket) -> bool:
        try:
            host, port = connection.getpeername()[:2]
        except OSError:  # gone already
            connection.close()
            return False
        address = plain_address(host)
        unknown = Caller(_UNKNOWN, _UNKNOWN, 0, "", frozenset(), (), has_account=False, host=str(address))
        visit = Visit(connection, unknown, Share(_UNPROVEN_SHARE), time.monotonic())
        try:
            self._check_peer(address, port)
        except DenialError as error:
            self.refuse(visit, error)
            return True
        count(self._unproven, visit.peer.host, visit.places)
        self.spawn(self._prove(visit))
        return True

    def _check_peer(self, host: IPv4Address | IPv6Address, port: int) -> None:
        if self._remote is not None:
            self._remote.hosts.check(host)
        if port >= FIRST_FREE_PORT:
            raise DenialError(
                "remote.port", f"port {port} of {host} is not root's", "ask the signing service of that host"
            )
        if self._unproven.total() >= UNPROVEN or self._unproven[str(host)] >= UNPROVEN_OF_A_HOST:
            raise busy(self.name)

    async def _prove(self, visit: Visit) -> None:
        found = None
        try:
            async with self.reported(visit):
                caller, digest = await self._identified(visit)
                self._check_room(caller)
                found = caller, digest
        finally:
            visit.places.close()
            if found is None:
                visit.connection.close()
        if found is not None:
            self.admit(visit.connection, *found)

    # Of the users of one host together, since root there can be each of them; and of one user who asks from any.
    def _check_room(self, peer: Caller) -> None:
        is_new = self._known.share(peer.uid) is None
        if (
            self._proven[peer.host] >= OF_A_HOST
            or (is_new and self._newcomers_of[peer.host] >= NEWCOMERS_OF_A_HOST)
            or self._remote_of[peer.uid] >= max(self.limits.connections_per_user // 2, 1)
        ):
            raise busy(self.name)

    def count(self, visit: Visit, *, is_new: bool) -> None:
        """As for `Server`; of other hosts, also by host and user."""
        super().count(visit, is_new=is_new)
        if visit.peer.host:
            count(self._proven, visit.peer.host, visit.places)
            count(self._remote_of, visit.peer.uid, visit.places)
            if is_new:
                count(self._newcomers_of, visit.peer.host, visit.newcomer)

    async def judged(self, visit: Visit, body: bytearray) -> tuple[RequestReport, bytearray]:
        """As for `Server`; requests of other hosts leave room for those of this one."""
        if not visit.peer.host:
            return await super().judged(visit, body)
        await self.wait_for(self._remote_checks)
        try:
            return await super().judged(visit, body)
        finally:
            self._remote_checks.release()

    async def _identified(self, visit: Visit) -> tuple[Caller, bytes]:
        nonce = secrets.token_bytes(NONCE_BYTES)
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                text = await self._credential(visit, nonce)
        except TimeoutError:
            raise DenialError(
                "remote.credential",
                "no MUNGE credential came in time",
                "see the log of munged on the host that asks",
                exit_code=ExitCode.FAILED,
            ) from None
        async with self._proofs, self.judges.other(lambda: _proof_answer(text, nonce), PROOF) as child:
            (size,) = LENGTH.unpack(await received(child.channel, LENGTH.size))
            found = json.loads(await received(child.channel, size))
        if isinstance(found, dict):
            exit_code = ExitCode(found["exit_code"])
            raise DenialError(found["code"], found["message"], found["hint"], exit_code=exit_code)
        uid, gid, digest = found
        return caller_of(0, uid, gid, visit.peer.host), bytes.fromhex(digest)

    async def _credential(self, visit: Visit, nonce: bytes) -> bytes:
        await self.loop.sock_sendall(visit.connection, frame({"version": VERSION, "nonce": nonce.hex()}))
        (size,) = LENGTH.unpack(await received(visit.connection, LENGTH.size))
        if not 0 < size <= CREDENTIAL_LIMIT:
            raise DenialError("remote.credential", f"a credential of {size} bytes")
        return bytes(await received(visit.connection, size))


def _proof_answer(text: bytes, nonce: bytes) -> bytes:
    try:
        uid, gid, digest = proven(text, nonce)
    except DenialError as error:
        return refusal_frame(error)
    return frame([uid, gid, digest.hex()])


def plain_address(host: str) -> IPv4Address | IPv6Address:
    """The address of a peer, that of IPv4 also where it comes by a socket for both."""
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
