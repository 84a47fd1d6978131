"""Asking the signing service, as any user."""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.codec import decode, encode, parse
from datacrumbs.signer.protocol import LENGTH, REPLY_LIMIT, VERSION

if TYPE_CHECKING:
    from datacrumbs.probefile.plan import Plan
    from datacrumbs.system import SystemPaths

REPLY_SECONDS = 120.0


class SigningError(DatacrumbsError):
    """A refusal of the service, with its code (``policy.provider``, ``snippet.untrusted`` ...)."""

    def __init__(self, code: str, message: str, hint: str, exit_code: ExitCode) -> None:
        super().__init__(message, hint=hint, exit_code=exit_code)
        self.code = code


def request_signature(plan: Plan, paths: SystemPaths) -> bytes:
    """Have a plan signed.

    Args:
        plan: The plan; it is checked here first, so that mistakes show without the service.
        paths: The installation whose service is asked.

    Returns:
        The bytes of the finished probe file, for `write_probe_file`.

    Raises:
        DatacrumbsError: (exit 2) for a plan that breaks the schema.
        SigningError: (exit 3, or the service's own) when the service refuses.
        DatacrumbsError: (exit 1) when the service is not running or does not answer.
    """
    plan_bytes = encode(plan)
    decode(plan_bytes)
    reply = _ask(paths, b'{"version":%d,"request":"sign","plan":%b}' % (VERSION, plan_bytes))
    if reply.get("status") == "signed":
        return base64.b64decode(str(reply["probe_file"]), validate=True)
    raise SigningError(
        str(reply.get("code", "service.fault")),
        f"the signing service refused: {reply.get('message', 'without a reason')}",
        str(reply.get("hint", "")),
        next((code for code in ExitCode if code and code == reply.get("exit_code")), ExitCode.REFUSED),
    )


def service_key_id(paths: SystemPaths) -> str:
    """Key id of the running service, for `datacrumbs_doctor` and for waiting until it is ready.

    Raises:
        DatacrumbsError: (exit 1) when the service is not running or does not answer.
    """
    return str(_ask(paths, b'{"version":%d,"request":"status"}' % VERSION).get("key_id", ""))


def _ask(paths: SystemPaths, body: bytes) -> dict[str, object]:
    path, own = paths.signing_socket, paths.prefix == Path("/")  # of a private installation there is no unit
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REPLY_SECONDS)
        try:
            connection.connect(str(path))
        except OSError as error:
            raise DatacrumbsError(
                f"{path}: the signing service is not running: {error.strerror or error}",
                hint=("systemctl start datacrumbs_sign_probes, or as root: " if own else "") + "datacrumbs_sign_probes",
            ) from None
        try:
            connection.sendall(LENGTH.pack(len(body)) + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the service has refused already; its reply says why
        except OSError as error:
            raise _unanswered(path, error) from None
        try:
            (size,) = LENGTH.unpack(_receive(connection, LENGTH.size))
            reply = parse(_receive(connection, min(size, REPLY_LIMIT)), "reply")
        except (OSError, EOFError) as error:
            raise _unanswered(path, error) from None
    if not isinstance(reply, dict):
        raise DatacrumbsError(f"{path}: the reply is no object; is it the signing service?")
    return reply


def _unanswered(path: object, error: Exception) -> DatacrumbsError:
    return DatacrumbsError(
        f"{path}: the signing service did not answer: {error}", hint="see journalctl -u datacrumbs_sign_probes"
    )


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError("the connection closed early")
        data += part
    return bytes(data)
