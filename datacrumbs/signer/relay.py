"""The signing service of a host without a key: hands requests to the signing host, each in the name of its caller.

It counts and limits callers as the signing service does, and parses nothing of a request either. A child, for each
request, has MUNGE say whose it is, and waits for the reply. Another one judges that: it counts only if this host would
trust it as a probe file.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.errors import ExitCode, refusal, usage_error
from datacrumbs.probefile.codec import parse
from datacrumbs.probefile.storage import verified
from datacrumbs.secure.user_rights import give_up_root, rights_of
from datacrumbs.serving import munge
from datacrumbs.serving.caller import with_account
from datacrumbs.serving.children import received
from datacrumbs.serving.denial import DenialError, denying
from datacrumbs.serving.limited import Bounds
from datacrumbs.serving.protocol import LENGTH, REPLY_LIMIT, VERSION, receive_message
from datacrumbs.serving.remote_server import FIRST_FREE_PORT, binding
from datacrumbs.serving.replies import (
    REASON_LIMIT,
    RequestReport,
    ServiceName,
    failure,
    reported,
    taken,
)
from datacrumbs.serving.server import REPORT_LIMIT, Server
from datacrumbs.serving.shares import MIB, ROOT, Limits
from datacrumbs.signer.authority import check_schema
from datacrumbs.signer.request import request_plan

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.serving.caller import Caller
    from datacrumbs.serving.reception import Visit

RELAY = ServiceName("signing relay", "datacrumbs_sign_relay", "signer")
LIMITS = Limits(memory=160 * MIB, memory_per_user=64 * MIB)  # a request is held until its reply is judged
EXCHANGES = 12
"""How many users' requests are at the signing host at once: to wait for it takes little else than time."""
EXCHANGE = Bounds(memory=128 * MIB, processor_seconds=10, clock_seconds=90)
"""Of the child that waits."""
ANSWERED, FAILED = b"+", b"-"
CREDENTIAL_SECONDS = 60
CONNECT_SECONDS = 10.0
REPLY_SECONDS = 70.0
"""With the time to connect less than a child has (`EXCHANGE`)."""
CHALLENGE_LIMIT = 64 << 10
_AT_ONCE = struct.pack("@ii", 1, 0)
"""How a connection is closed: its port is one of few, and would be taken for a minute on some hosts."""
_FIRST_PORT = 512  # below are well-known services
_TAKEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)


@dataclass(frozen=True, slots=True)
class SigningHost:
    """Where requests go, and by which keys what comes back is believed.

    Args:
        name: Name or address of the signing host.
        port: Its port.
        trusted_keys: Directory of public keys and revocations.
    """

    name: str
    port: int
    trusted_keys: Path

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


def host_and_port(text: str, what: str) -> tuple[str, int]:
    """A name or address, in brackets where it has colons of its own, and a port.

    Raises:
        DatacrumbsError: (exit 2) naming ``what`` it is.
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16 or (":" in host and not bracketed):
        raise usage_error(f"{what}: {text!r} is no host with a port; expected e.g. 10.0.0.1:7411 or [fd00::1]:7411")
    return (host[1:-1] if bracketed else host), int(port)


class Relay(Server):
    """Answers requests for signatures by asking the signing host.

    Args:
        where: The signing host.
        limits: What callers may use up.
    """

    def __init__(self, where: SigningHost, limits: Limits = LIMITS) -> None:
        super().__init__(RELAY, limits)
        self.where = where
        self._exchanges = asyncio.Semaphore(EXCHANGES)

    async def judged(self, visit: Visit, body: bytearray) -> tuple[RequestReport, bytearray]:
        """As for `Server`; who waits for the signing host has no place among those whose requests are judged."""
        await self.wait_for(self._exchanges)
        try:
            found = await self._asked(visit, bytes(body))
        finally:
            self._exchanges.release()
        self.hold(visit, len(body) + len(found))
        body[:0] = LENGTH.pack(len(found)) + found
        return await super().judged(visit, body)

    async def _asked(self, visit: Visit, body: bytes) -> bytearray:
        async with self.judges.other(lambda: asked(self.where, visit.peer, body), EXCHANGE) as child:
            (size,) = LENGTH.unpack(await received(child.channel, LENGTH.size))
            return await received(child.channel, min(size, LENGTH.size + REPORT_LIMIT + REPLY_LIMIT))

    def judge(self, peer: Caller, body: bytearray, _digest: bytes) -> bytes:
        """See `relayed`."""
        return relayed(self.where, peer, taken(body))


def asked(where: SigningHost, peer: Caller, body: bytes) -> bytes:
    """What a child answers that asks the signing host, with its length: ANSWERED and the reply, or a refusal."""
    caller = with_account(peer)
    try:
        found = ANSWERED + _exchange(where, caller, body)
    except Exception as error:  # noqa: BLE001 - the request's boundary
        found = FAILED + reported(*failure(error, RELAY, caller.user, ""))
    return LENGTH.pack(len(found)) + found


def relayed(where: SigningHost, peer: Caller, data: bytes) -> bytes:
    """What a child answers that judges a reply: a report and the reply, or a refusal of its own.

    Args:
        where: Whose reply it is.
        peer: Who asked.
        data: What `asked` has answered, then the request.
    """
    (size,) = LENGTH.unpack_from(data)
    found, body = data[LENGTH.size : LENGTH.size + size], data[LENGTH.size + size :]
    kind, reply = found[:1], found[1:]
    if kind == FAILED:
        return reply
    caller = with_account(peer)
    try:
        give_up_root()  # what comes over a network needs it no more than this does
        report = _checked(where, caller, body, reply)
    except Exception as error:  # noqa: BLE001 - likewise
        return reported(*failure(error, RELAY, caller.user, ""))
    return reported(report, LENGTH.pack(len(reply)) + reply)


def _exchange(where: SigningHost, caller: Caller, body: bytes) -> bytes:
    try:
        with connect(where) as connection:
            head = receive_message(connection, CHALLENGE_LIMIT)
            challenge = _document(where, head)
            if challenge.get("status") == "refused":
                return head
            text = _credential(_nonce(where, challenge), caller, body)
            give_up_root()  # nothing of what follows needs it, and what follows comes over a network
            connection.settimeout(REPLY_SECONDS)
            # A signing host that has refused already does not read; its reply says why.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(LENGTH.pack(len(text)) + text + LENGTH.pack(len(body)))
                connection.sendall(body)
            reply = receive_message(connection, REPLY_LIMIT)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            return reply
    except TimeoutError:
        raise DenialError(
            "relay.connection",
            f"the signing host {where} did not answer in time",
            "check that it is up, and that its firewall lets this host in",
            exit_code=ExitCode.FAILED,
        ) from None
    except (OSError, EOFError) as error:
        raise DenialError(
            "relay.connection",
            f"the signing host {where} did not answer: {getattr(error, 'strerror', None) or error}",
            "an administrator looks there: systemctl status datacrumbs_sign_remote.socket",
            exit_code=ExitCode.FAILED,
        ) from None


def connect(where: SigningHost) -> socket.socket:
    """A connection to the signing host, from a port that only root has: it listens to no others.

    Raises:
        OSError: When there is none.
    """
    problem = OSError("no port below 1024 is free")
    for family, kind, protocol, _, address in socket.getaddrinfo(where.name, where.port, type=socket.SOCK_STREAM):
        for port in range(FIRST_FREE_PORT - 1, _FIRST_PORT - 1, -1):
            try:
                connection = socket.socket(family, kind, protocol)
            except OSError as error:  # a family that this host does not have
                problem = error
                break
            connection.settimeout(CONNECT_SECONDS)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of connections that are over
            try:
                connection.bind(("", port))
                connection.connect(address)
            except OSError as error:
                connection.close()
                if error.errno not in _TAKEN:
                    problem = error
                    break
            else:
                return connection
    raise problem


def _credential(nonce: bytes, caller: Caller, body: bytes) -> bytes:
    # Effective ids alone, which munged asks the kernel for: the user can neither stop nor trace this process.
    with rights_of(caller.uid, caller.gid, []):
        try:
            return munge.credential(binding(nonce, body), reader=ROOT, seconds=CREDENTIAL_SECONDS)
        except munge.MungeError as error:
            raise DenialError("relay.munge", error.message, error.hint, exit_code=ExitCode.FAILED) from None


def _nonce(where: SigningHost, challenge: dict[str, object]) -> bytes:
    try:
        if challenge.get("version") == VERSION:
            return bytes.fromhex(str(challenge.get("nonce")))
    except ValueError:
        pass
    raise DenialError(
        "relay.reply", f"{where} is no signing service of this version", "install the same version of datacrumbs there"
    )


def _document(where: SigningHost, message: bytes) -> dict[str, object]:
    with denying("relay.reply"):
        document = parse(message, f"the reply of {where}")
    if not isinstance(document, dict):
        raise DenialError("relay.reply", f"the reply of {where} is not an object")
    return document


# For the log; and what somebody on the way has changed is refused here, not on a node.
def _checked(where: SigningHost, caller: Caller, body: bytes, reply: bytes) -> RequestReport:
    document = _document(where, reply)
    status = document.get("status")
    name = f"the reply of {where}"
    if status == "ready":
        return RequestReport()
    if status == "refused":
        code, reason = (str(document.get(key))[:REASON_LIMIT] for key in ("code", "message"))
        return RequestReport("refused", code, caller.user, reason=reason)
    if status != "signed":
        raise DenialError("relay.reply", f"{name} is neither a probe file nor a refusal")
    with denying("relay.reply"):
        try:
            data = base64.b64decode(str(document.get("probe_file")), validate=True)
        except ValueError:
            raise refusal(f"{name}: no base64") from None
        signed = verified(data, name, where.trusted_keys, now=time.time(), uid=caller.uid)
    _, _, asked = check_schema(request_plan(body))
    if signed.digest != asked:
        raise DenialError("relay.reply", f"{name} is for another plan")
    return RequestReport("signed", "", caller.user, signed.digest)
