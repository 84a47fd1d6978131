"""Asking the signing service, as any user."""

from __future__ import annotations

import base64
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.codec import decode, encode, parse
from datacrumbs.serving.asking import BUSY, PassingError, patiently
from datacrumbs.serving.denial import DenialError, refused_by
from datacrumbs.serving.protocol import LENGTH, REPLY_LIMIT, VERSION, receive_message, sign_request
from datacrumbs.system import read_system_configuration

if TYPE_CHECKING:
    from datacrumbs.model.plan import Plan
    from datacrumbs.system import SystemPaths

REPLY_SECONDS = 600.0
"""Longer than the service takes at most: for the request to arrive, its turn, its check on a busy host, the reply."""
RETRY_SECONDS = 60.0
CONNECT_TIME = struct.pack("@ll", 20, 0)


def request_signature(plan: Plan, paths: SystemPaths) -> bytes:
    """Have a plan signed.

    Args:
        plan: The plan; it is checked here first, so that mistakes show without the service.
        paths: The installation whose service is asked.

    Returns:
        The bytes of the finished probe file, for `write_probe_file`.

    Raises:
        DatacrumbsError: (exit 2) for a plan that breaks the schema.
        DenialError: (exit 3, or the service's own) when the service refuses; with code ``service.busy`` (exit 1)
            when it stayed busy.
        DatacrumbsError: (exit 1) when the service is not running or does not answer.
    """
    plan_bytes = encode(plan)
    decode(plan_bytes)
    reply = _ask(paths, sign_request(plan_bytes))
    if reply.get("status") == "signed":
        return base64.b64decode(str(reply["probe_file"]), validate=True)
    raise refused_by("signing service", reply)


def service_key_id(paths: SystemPaths) -> str:
    """Key id of the running service, for `datacrumbs_doctor` and for waiting until it is ready.

    Raises:
        DenialError: When the service refuses to say.
        DatacrumbsError: (exit 1) when the service is not running or does not answer.
    """
    reply = _ask(paths, b'{"version":%d,"request":"status"}' % VERSION)
    if reply.get("status") != "ready":
        raise refused_by("signing service", reply)
    return str(reply.get("key_id", ""))


def _ask(paths: SystemPaths, body: bytes) -> dict[str, object]:
    def once() -> dict[str, object]:
        reply = exchange(paths, body)
        if reply.get("code") == BUSY:
            raise PassingError(_busy(paths))
        return reply

    return patiently(once, RETRY_SECONDS)


def exchange(paths: SystemPaths, body: bytes) -> dict[str, object]:
    """The reply of the service to one request, asked once.

    Raises:
        PassingError: It is busy, or has died under the request.
        DatacrumbsError: (exit 1) It is not running, or does not answer.
    """
    path = paths.signing_socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _connect(connection, paths)
        connection.settimeout(REPLY_SECONDS)
        try:
            # A service that has refused already does not read; its reply says why.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(LENGTH.pack(len(body)) + body)
            reply = parse(receive_message(connection, REPLY_LIMIT), "reply")
        except (ConnectionResetError, EOFError) as error:
            raise PassingError(_unanswered(paths, error)) from None
        except OSError as error:
            raise _unanswered(paths, error) from None
    if not isinstance(reply, dict):
        raise DatacrumbsError(f"{path}: the reply is not an object; is it the signing service?")
    return reply


# With a time limit of the kernel's, not Python's, which would not wait at all where others wait to be accepted.
def _connect(connection: socket.socket, paths: SystemPaths) -> None:
    path, own = paths.signing_socket, paths.prefix == Path("/")  # of a private installation there is no unit
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, CONNECT_TIME)
    try:
        connection.connect(str(path))
    except BlockingIOError:
        raise PassingError(_busy(paths)) from None
    except OSError as error:
        unit = _unit(paths)
        by_hand = "datacrumbs_sign_probes" + (" --relay" if unit.endswith("relay") else "")
        raise DatacrumbsError(
            f"{path}: the signing service is not running: {error.strerror or error}",
            hint=(f"systemctl start {unit}, or as root: " if own else "") + by_hand,
        ) from None


def _busy(paths: SystemPaths) -> DenialError:
    return DenialError(
        BUSY,
        f"the signing service is busy: no room for this request within {RETRY_SECONDS:g} s",
        f"it is running: try again; its log says whose requests it has: journalctl -u {_unit(paths)}",
        exit_code=ExitCode.FAILED,
    )


def _unanswered(paths: SystemPaths, error: Exception) -> DatacrumbsError:
    return DatacrumbsError(
        f"{paths.signing_socket}: the signing service did not answer: {error}",
        hint=f"see journalctl -u {_unit(paths)}",
    )


# What answers here: the service, or its relay where another host signs.
def _unit(paths: SystemPaths) -> str:
    return "datacrumbs_sign_relay" if read_system_configuration(paths).signing_host else "datacrumbs_sign_probes"
