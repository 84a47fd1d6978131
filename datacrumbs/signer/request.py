"""One request, from its bytes to the reply: in a child of the service, which has the request's limits.

The service itself parses nothing that a caller sent, and never has the signing key in its memory.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.probefile.codec import parse
from datacrumbs.serving.caller import with_account
from datacrumbs.serving.denial import DenialError, denying
from datacrumbs.serving.protocol import VERSION, frame
from datacrumbs.serving.remote_server import check_bound
from datacrumbs.serving.replies import RequestReport, ServiceName, failure, reported, taken
from datacrumbs.signer.authority import check_schema
from datacrumbs.signer.target_check import look_now

if TYPE_CHECKING:
    from datacrumbs.serving.caller import Caller
    from datacrumbs.signer.authority import Authority
    from datacrumbs.signer.target_check import Ask

SIGNING = ServiceName("signing service", "datacrumbs_sign_probes", "signer")


def answer_request(
    authority: Authority, peer: Caller, body: bytearray, digest: bytes = b"", ask: Ask = look_now
) -> bytes:
    """The report with its length, then the reply's frame.

    Args:
        authority: Decides.
        peer: Who asks.
        body: The request, which is emptied.
        digest: Of what a peer on another host asks for.
        ask: As for `check_target`.
    """
    known = authority.compilation.said()
    report, reply = _judged(authority, peer, body, digest, ask)
    compiled = tuple(item for item in authority.compilation.said().items() if item[0] not in known)
    return reported(replace(report, found=compiled), reply)


def _judged(authority: Authority, peer: Caller, body: bytearray, asked: bytes, ask: Ask) -> tuple[RequestReport, bytes]:
    caller, digest = peer, ""
    try:
        check_bound(body, asked)
        caller = with_account(peer)
        document = request_plan(taken(body))
        if document is None:
            ready = {"status": "ready", "key_id": authority.key_id, "version": __version__}
            return RequestReport(), frame(ready)
        plan, plan_bytes, digest = check_schema(document)
        del document  # what looks at the targets has its own memory beside this one's
        signed = authority.sign(plan_bytes, plan, caller, ask)
        reply = frame({"status": "signed", "probe_file": base64.b64encode(signed).decode()})
    except Exception as error:  # noqa: BLE001 - the request's boundary
        return failure(error, SIGNING, caller.user, digest)
    return RequestReport("signed", "", caller.user, digest), reply


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
