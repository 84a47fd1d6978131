"""The signing service: many callers at once, each bounded in bytes, time and number.

Every connection carries one request and one reply. Every decision is one log line, a JSON object
in ASCII, so nothing that a caller sent can start a line of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import signal
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError, ExitCode, refusal
from datacrumbs.probefile.codec import parse
from datacrumbs.signer.authority import check_schema
from datacrumbs.signer.caller import Caller, peer_of, with_account
from datacrumbs.signer.denial import DenialError
from datacrumbs.signer.protocol import LENGTH, REQUEST_LIMIT, VERSION, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datacrumbs.signer.authority import Authority

log = logging.getLogger("datacrumbs.signer")

SOCKET_MODE = 0o666  # any user may ask; the policy decides
BACKLOG = 64
STOPPING = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may use up.

    Args:
        connections: Most connections at once.
        connections_per_user: Most of them from one user other than root; all ids without an account are one user.
        request_seconds: Time for a whole request to arrive, and for the reply to leave.
        request_bytes: Largest request.
        checks: How many requests are checked at once, each of another user: a slow one holds up its own user only.
    """

    connections: int = 64
    connections_per_user: int = 8
    request_seconds: float = 10.0
    request_bytes: int = REQUEST_LIMIT
    checks: int = 2


@dataclass(slots=True)
class _Share:
    """What one user uses of the service: connections, and whose turn it is of them to be checked."""

    connections: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Service:
    """Answers requests on a listening socket until told to stop."""

    authority: Authority
    limits: Limits = field(default_factory=Limits)
    _open: int = 0
    _shares: dict[int, _Share] = field(default_factory=dict)
    _checks: asyncio.Semaphore | None = None

    async def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; requests in work are finished first.

        Args:
            listener: Bound and listening AF_UNIX socket.
            ready: Called once requests are answered.
        """
        self._checks = asyncio.Semaphore(self.limits.checks)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        tasks: set[asyncio.Task[None]] = set()

        # start_unix_server's own tasks cannot be awaited, so that a stop would cut replies off.
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async with await asyncio.start_unix_server(connected, sock=listener, backlog=BACKLOG):
            ready()
            await stop.wait()
        # A second SIGTERM must not kill the exit. Ignoring is for all threads; the interpreter can restore the default
        # while it ends, when this thread is the last one, so it takes no such signal any more.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        if tasks:
            await asyncio.wait(tasks, timeout=self.limits.request_seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            reply = await self._answer(reader, peer_of(writer.get_extra_info("socket")))
            writer.write(frame(reply))
            await asyncio.wait_for(writer.drain(), self.limits.request_seconds)
        except (OSError, TimeoutError):
            log.info("%s", line(None, "dropped", "connection.lost"))
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, peer: Caller) -> dict[str, object]:
        caller = peer
        started = time.monotonic()
        digest = ""
        try:
            self._check_room(self._open, self.limits.connections)
            caller = await asyncio.to_thread(with_account, peer)
            with self._share_of(caller) as share:
                body = await self._read(reader)
                assert self._checks is not None  # noqa: S101 - set by run, before any connection
                async with share.turn, self._checks:
                    document = await asyncio.to_thread(request_plan, body)
                    if document is None:
                        return {"status": "ready", "key_id": self.authority.key_id, "version": __version__}
                    plan, plan_bytes, digest = await asyncio.to_thread(check_schema, document)
                    signed = await asyncio.to_thread(self.authority.sign, plan_bytes, plan, caller)
        except DenialError as error:
            log.warning("%s", line(caller, "refused", error.code, digest=digest, reason=error.message, started=started))
            return {
                "status": "refused",
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "exit_code": int(error.exit_code),
            }
        except Exception:  # the event loop's boundary: one request must not end the service
            log.exception("%s", line(caller, "failed", "service.fault", digest=digest, started=started))
            return {
                "status": "refused",
                "code": "service.fault",
                "message": "the signing service failed on this request",
                "hint": "see its log: journalctl -u datacrumbs_sign_probes",
                "exit_code": int(ExitCode.FAILED),
            }
        log.info("%s", line(caller, "signed", "", digest=digest, started=started))
        return {"status": "signed", "probe_file": base64.b64encode(signed).decode()}

    def _check_room(self, taken: int, limit: int) -> None:
        if taken > limit:
            raise DenialError("service.busy", "the signing service has too many requests at once", "try again")

    @contextmanager
    def _share_of(self, caller: Caller) -> Iterator[_Share]:
        share = self._shares.setdefault(caller.share, _Share())
        share.connections += 1
        try:
            if caller.uid != 0:
                self._check_room(share.connections, self.limits.connections_per_user)
            yield share
        finally:
            share.connections -= 1
            if not share.connections:
                del self._shares[caller.share]

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self.limits.request_seconds):
                (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                if size > self.limits.request_bytes:
                    raise DenialError(
                        "request.size",
                        f"a request of {size} bytes; at most {self.limits.request_bytes} are taken",
                        "select fewer functions",
                    )
                return await reader.readexactly(size)
        except TimeoutError:
            seconds = self.limits.request_seconds
            raise DenialError("request.timeout", f"the request did not arrive within {seconds:g} s") from None
        except asyncio.IncompleteReadError:
            raise DenialError("request.short", "the connection closed before the request's end") from None


def request_plan(body: bytes) -> object:
    """The plan document of a request, or None for the question whether the service is there.

    Raises:
        DenialError: For anything that is no request.
    """
    try:
        document = parse(body, "request")
    except DatacrumbsError as error:
        raise DenialError("request.form", error.message) from None
    if isinstance(document, dict) and document.get("version") == VERSION:
        if document.keys() == {"version", "request"} and document["request"] == "status":
            return None
        if document.keys() == {"version", "request", "plan"} and document["request"] == "sign":
            return document["plan"] if document["plan"] is not None else {}
    raise DenialError(
        "request.form",
        f"not a request of version {VERSION} of the signing protocol",
        "install the same version of datacrumbs for the configurator and the signing service",
    )


def line(
    caller: Caller | None,
    decision: str,
    code: str,
    *,
    digest: str = "",
    reason: str = "",
    started: float | None = None,
) -> str:
    """One log line of a decision: ASCII JSON with fixed keys."""
    return json.dumps(
        {
            "decision": decision,
            "code": code,
            "uid": caller.uid if caller else None,
            "user": caller.user if caller else None,
            "pid": caller.pid if caller else None,
            "plan": digest,
            "reason": reason,
            "ms": None if started is None else round((time.monotonic() - started) * 1000),
        }
    )


def listen(path: Path) -> socket.socket:
    """Bind the signing socket, in a directory that only its owner may change.

    Raises:
        DatacrumbsError: (exit 1) when a service is listening there already or the path is no socket.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise DatacrumbsError(f"{path}: cannot listen: {error}", hint="run datacrumbs_setup first") from None
    except DatacrumbsError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_socket()):
        raise refusal(f"{path}: exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except FileNotFoundError:
            return
        else:
            raise DatacrumbsError(f"{path}: a signing service is already listening", hint="stop it first")
