"""One request, from its bytes to the reply: in a child of the service, which has the request's limits.

The service itself parses nothing that a caller sent, and never has the signing key in its memory.
"""

from __future__ import annotations

import base64
import json
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.errors import ExitCode
from datacrumbs.probefile.codec import parse
from datacrumbs.signer.authority import check_schema
from datacrumbs.signer.caller import with_account
from datacrumbs.signer.denial import DenialError, denying
from datacrumbs.signer.protocol import LENGTH, VERSION, frame

if TYPE_CHECKING:
    from datacrumbs.signer.authority import Authority
    from datacrumbs.signer.caller import Caller

FAULT_LIMIT = 8000
REASON_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a request, for the service's log.

    Args:
        decision: ``signed``, ``refused``, ``failed``, or empty for what is not logged.
        code: Of a refusal.
        user: The caller's account.
        digest: Of the plan.
        reason: In words, cut to a bound.
        fault: A traceback, when the service failed.
        size: Bytes of the reply.
        compiled: What this request found out about snippets, see `Compilation`.
    """

    decision: str = ""
    code: str = ""
    user: str = ""
    digest: str = ""
    reason: str = ""
    fault: str = ""
    size: int = 0
    compiled: tuple[tuple[str, str], ...] = ()


def answer_request(authority: Authority, peer: Caller, body: bytearray) -> bytes:
    """The report with its length, then the reply's frame."""
    known = authority.compilation.said()
    report, reply = _judged(authority, peer, body)
    compiled = tuple(item for item in authority.compilation.said().items() if item[0] not in known)
    sized = asdict(report) | {"size": len(reply), "compiled": compiled}
    head = json.dumps(sized).encode()
    return LENGTH.pack(len(head)) + head + reply


def read_report(head: bytes) -> Report:
    """The report of a child, which is this program."""
    document = json.loads(head)
    document["compiled"] = tuple((str(key), str(words)) for key, words in document["compiled"])
    return Report(**document)


def _judged(authority: Authority, peer: Caller, body: bytearray) -> tuple[Report, bytes]:
    caller, digest = peer, ""
    try:
        caller = with_account(peer)
        document = request_plan(bytes(body))
        if document is None:
            ready = {"status": "ready", "key_id": authority.key_id, "version": __version__}
            return Report(), frame(ready)
        plan, plan_bytes, digest = check_schema(document)
        del document  # what looks at the targets has its own memory beside this one's
        signed = authority.sign(plan_bytes, plan, caller)
        reply = frame({"status": "signed", "probe_file": base64.b64encode(signed).decode()})
    except (DenialError, MemoryError) as caught:
        error = caught if isinstance(caught, DenialError) else too_much()
        reason = error.message[:REASON_LIMIT]
        return Report("refused", error.code, caller.user, digest, reason), refusal_frame(error)
    except Exception:  # noqa: BLE001 - the request's boundary: its caller gets words, the log the rest
        fault = traceback.format_exc()[-FAULT_LIMIT:]
        return Report("failed", "service.fault", caller.user, digest, fault=fault), refusal_frame(failed())
    return Report("signed", "", caller.user, digest), reply


def refusal_frame(error: DenialError) -> bytes:
    """The reply of a refusal."""
    return frame(
        {
            "status": "refused",
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "exit_code": int(error.exit_code),
        }
    )


def too_much() -> DenialError:
    """The refusal of what takes more memory or time than one request may."""
    return DenialError(
        "request.limits", "the request takes more memory or time than one request may", "select fewer functions"
    )


def failed() -> DenialError:
    """The reply when the service itself is at fault."""
    return DenialError(
        "service.fault",
        "the signing service failed on this request",
        "see its log: journalctl -u datacrumbs_sign_probes",
        exit_code=ExitCode.FAILED,
    )


def request_plan(body: bytes) -> object:
    """The plan document of a request, or None for the question whether the service is there.

    Raises:
        DenialError: For anything that is no request.
    """
    with denying("request.form"):
        document = parse(body, "request")
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
