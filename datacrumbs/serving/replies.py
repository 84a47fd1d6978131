"""What a service answers, and what it logs of it."""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict, dataclass

from datacrumbs.errors import ExitCode
from datacrumbs.serving.asking import BUSY
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.limited import UNDECIDED, UNDECIDED_HINT
from datacrumbs.serving.protocol import LENGTH, frame

FAULT_LIMIT = 8000
REASON_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class ServiceName:
    """How a service is called.

    Args:
        words: In messages.
        unit: Its unit and its command.
        logger: Name of its log below ``datacrumbs``.
    """

    words: str
    unit: str
    logger: str


@dataclass(frozen=True, slots=True)
class RequestReport:
    """What came of a request, for the service's log.

    Args:
        decision: ``signed``, ``started``, ``refused``, ``failed``, or empty for what is not logged.
        code: Of a refusal.
        user: The caller's account.
        digest: Of the plan.
        reason: In words, cut to a bound.
        fault: A traceback, when the service failed.
        size: Bytes of the reply.
        found: What this request has found out that later ones can use.
    """

    decision: str = ""
    code: str = ""
    user: str = ""
    digest: str = ""
    reason: str = ""
    fault: str = ""
    size: int = 0
    found: tuple[tuple[str, str], ...] = ()


def taken(body: bytearray) -> bytes:
    """The bytes of a request, which is emptied: it counts towards the memory of the child that judges it."""
    data = bytes(body)
    body.clear()
    return data


def reported(report: RequestReport, reply: bytes) -> bytes:
    """A child's answer: the report with its length, then the reply."""
    head = json.dumps(asdict(report) | {"size": len(reply)}).encode()
    return LENGTH.pack(len(head)) + head + reply


def read_report(head: bytes | bytearray) -> RequestReport:
    """The report of a child, which is this program."""
    document = json.loads(head)
    document["found"] = tuple((str(key), str(words)) for key, words in document["found"])
    return RequestReport(**document)


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


def busy(service: ServiceName) -> DenialError:
    """The refusal that clients try again after."""
    return DenialError(BUSY, f"the {service.words} has too many requests at once", "try again in a minute")


def too_much() -> DenialError:
    """The refusal of what takes more memory or processor time than one request may."""
    return DenialError(
        "request.limits", "the request exceeds the memory or processor time of one request", "select fewer functions"
    )


def undecided(missed: str) -> DenialError:
    """The reply when the time on the clock is over, which says nothing about the request.

    Args:
        missed: What was not done in time.
    """
    return DenialError("service.undecided", f"{missed}: {UNDECIDED}", UNDECIDED_HINT, exit_code=ExitCode.FAILED)


def failed(service: ServiceName) -> DenialError:
    """The reply when the service itself is at fault."""
    return DenialError(
        "service.fault",
        f"the {service.words} failed on this request",
        f"see its log: journalctl -u {service.unit}",
        exit_code=ExitCode.FAILED,
    )


def failure(error: Exception, service: ServiceName, user: str, digest: str) -> tuple[RequestReport, bytes]:
    """What a child answers where its request failed: the caller gets words, the log the rest.

    Args:
        error: A refusal, or whatever else ended it.
        service: Whose request it is.
        user: The caller's account.
        digest: Of the plan, if that is known by then.
    """
    refused = too_much() if isinstance(error, MemoryError | RecursionError) else error
    if isinstance(refused, DenialError):
        report = RequestReport("refused", refused.code, user, digest, refused.message[:REASON_LIMIT])
        return report, refusal_frame(refused)
    fault = "".join(traceback.format_exception(error))[-FAULT_LIMIT:]
    return RequestReport("failed", "service.fault", user, digest, fault=fault), refusal_frame(failed(service))
