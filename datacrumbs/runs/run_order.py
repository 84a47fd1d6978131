"""One request to the service of runs, from its bytes to an order that the service carries out.

It is parsed and judged by a child, which has the request's limits: the service itself parses nothing that a caller
sent. The order is the child's, in a form of its own.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from datacrumbs.model.contract import RUN_ID_LONGEST
from datacrumbs.probefile.codec import parse
from datacrumbs.probefile.envelope import COMPRESSED_LIMIT
from datacrumbs.probefile.storage import verified
from datacrumbs.runs.disk_space import free_bytes, taken_by
from datacrumbs.runs.order_options import OrderOptions, checked_options
from datacrumbs.runs.run_policy import bounded, check_total, read_run_policy, rule_for, shown_rule
from datacrumbs.serving.caller import with_account
from datacrumbs.serving.denial import DenialError, denying
from datacrumbs.serving.protocol import LENGTH, VERSION
from datacrumbs.serving.replies import RequestReport, ServiceName, failure, reported, taken
from datacrumbs.system import read_system_configuration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.runs.run_policy import RunPolicy, RunRule
    from datacrumbs.serving.caller import Caller
    from datacrumbs.system import SystemPaths

RUNS = ServiceName("service of runs", "datacrumbs_runs", "runs")
REQUEST_LIMIT = 23 << 20  # a probe file in base64, and little more
START, STOP, CLAIM, LIST, STATUS, ALLOWED = "start", "stop", "claim", "list", "status", "allowed"
RUN_ID = re.compile(r"run-[0-9]{8}T[0-9]{6}-[0-9a-f]{16}")
"""Ids that the service gives; no other one is looked up, let alone becomes part of a path."""
assert len("run-20250101T000000-0123456789abcdef") <= RUN_ID_LONGEST  # noqa: S101 - two constants of ours


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller may have done.

    Args:
        kind: ``start``, ``stop``, ``claim``, ``list``, ``status`` or ``allowed``.
        run: The run to stop or to claim.
        options: Of the run to start, within the policy.
        at_once: Most runs of this user at once.
        in_all: Most runs of all users at once.
        free: Bytes that are free where traces are kept.
        rule: The caller's rule of the policy, for ``allowed``.
        signed: The probe file of the run to start, verified.
    """

    kind: str
    run: str = ""
    options: OrderOptions = field(default_factory=OrderOptions)
    at_once: int = 0
    in_all: int = 0
    free: int = 0
    rule: Mapping[str, object] = field(default_factory=dict)
    signed: bytes = b""


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run, as the service shows it.

    Args:
        run: Its id.
        uid: Whose it is.
        started: When, in seconds since the epoch.
        command: What is run.
        state: ``starting``, ``running`` or ``ending``.
        trace: Where its trace is; empty until programs are traced.
    """

    run: str
    uid: int
    started: int
    command: str
    state: str
    trace: str


def order_bytes(paths: SystemPaths, peer: Caller, body: bytearray) -> bytes:
    """What the child answers: a report, then an order where the report decides nothing, else the reply's frame."""
    caller, digest = peer, ""
    try:
        caller = with_account(peer)
        order = _parsed(taken(body))
        if order.kind == START:
            order, digest = _judged(paths, caller, order)
        elif order.kind == ALLOWED:
            _, rule = _rule(paths, caller)
            order = replace(order, at_once=rule.at_once, rule=shown_rule(rule))
    except Exception as error:  # noqa: BLE001 - the request's boundary
        return reported(*failure(error, RUNS, caller.user, digest))
    head = json.dumps({**asdict(replace(order, signed=b"")), "signed": None}).encode()
    return reported(RequestReport("", "", caller.user, digest), LENGTH.pack(len(head)) + head + order.signed)


def read_order(data: bytes | bytearray) -> Order:
    """The order of a child, which is this program."""
    (size,) = LENGTH.unpack_from(data)
    document = json.loads(data[LENGTH.size : LENGTH.size + size])
    options = OrderOptions(**document.pop("options"))
    return Order(**{**document, "options": options, "signed": bytes(data[LENGTH.size + size :])})


def _rule(paths: SystemPaths, caller: Caller) -> tuple[RunPolicy, RunRule]:
    with denying("service.configuration"):
        policy = read_run_policy(paths.policy)
    return policy, rule_for(policy, caller)


def _judged(paths: SystemPaths, caller: Caller, order: Order) -> tuple[Order, str]:
    policy, rule = _rule(paths, caller)
    with denying("grant.refused"):
        signed = verified(order.signed, "the probe file", paths.trusted_keys, now=time.time(), uid=caller.uid)
    options = bounded(rule, signed, order.options, caller)
    with denying("service.configuration"):
        configuration = read_system_configuration(paths)
    try:
        free = free_bytes(configuration)
    except OSError as error:
        raise DenialError(
            "service.configuration", f"{configuration.trace_log_dir}: {error.strerror}", "run datacrumbs_setup"
        ) from None
    check_total(rule, options, taken_by(configuration, caller), caller)
    return replace(order, options=options, at_once=rule.at_once, in_all=policy.at_once, free=free), signed.digest


def _parsed(body: bytes) -> Order:
    with denying("request.form"):
        parsed = parse(body, "request")
    document = parsed if isinstance(parsed, dict) else {}
    kind = document.get("request")
    if isinstance(kind, str) and document.get("version") == VERSION:
        given = {key: value for key, value in document.items() if key not in {"version", "request"}}
        if kind in {LIST, STATUS, ALLOWED} and not given:
            return Order(str(kind))
        if kind in {STOP, CLAIM} and given.keys() == {"run"}:
            run = given["run"]
            if isinstance(run, str) and RUN_ID.fullmatch(run):
                return Order(str(kind), run)
            raise no_such_run()
        if kind == START and given.keys() == {"probe_file", "options"}:
            return Order(START, options=checked_options(given["options"]), signed=_probe_file(given["probe_file"]))
    raise DenialError(
        "request.form",
        f"not a request of version {VERSION} of the protocol of runs",
        "install the same version of datacrumbs for the command and the service",
    )


def no_such_run() -> DenialError:
    """The refusal for a run that is not the caller's, the same whether there is one."""
    return DenialError("runs.unknown", "there is no such run of yours", "datacrumbs_list shows your runs")


def _probe_file(value: object) -> bytes:
    try:
        data = binascii.a2b_base64(str(value), strict_mode=True)
    except ValueError:
        data = b""
    if not data or not isinstance(value, str) or len(data) > COMPRESSED_LIMIT:
        raise DenialError("request.form", "probe_file: expected a probe file of at most 16 MiB in base64")
    return data


def start_request(signed: bytes, options: OrderOptions) -> dict[str, object]:
    """The request to start a run."""
    given = {key: value for key, value in asdict(options).items() if value}
    return {
        "version": VERSION,
        "request": START,
        "probe_file": base64.b64encode(signed).decode(),
        "options": given,
    }
