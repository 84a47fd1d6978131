"""Whether a plan may be traced, decided as the signing service decides, and signed in memory for one run."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.codec import digest, parse
from datacrumbs.probefile.envelope import PAYLOAD_TYPE, Grant, enveloped, open_form, payload_of, read_payload, verify
from datacrumbs.probefile.revocation import read_revocations
from datacrumbs.serving.caller import Caller, with_account
from datacrumbs.serving.limited import (
    CHECK,
    UNDECIDED,
    UNDECIDED_HINT,
    Child,
    LimitError,
    UndecidedError,
    check_end,
    start,
)
from datacrumbs.session.own_looks import kept_looks
from datacrumbs.signer.authority import Standards, check_schema, decide
from datacrumbs.signer.policy import PolicyRule, read_policy
from datacrumbs.signer.private_key import new_private_key
from datacrumbs.signer.provider_snippets import installed_snippets, provider_distributions
from datacrumbs.signer.snippets import TrustedSnippet, read_trusted
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    from datacrumbs.model.plan import Plan
    from datacrumbs.probefile.envelope import SignedPlan
    from datacrumbs.session.invoker import Invoker

NAME = "the plan of this run"
GRANT_SECONDS = 10 * 365 * 86400  # for as long as the command runs: the key is gone with this process


def begin_decision(plan_bytes: bytes, user: Invoker, paths: SystemPaths) -> Child:
    """Judge a plan in a child with the limits of a request to the signing service; `signed` takes its answer."""
    return start(lambda _: _judged(plan_bytes, user, paths), CHECK.stretched())


def signed(answer: bytes, status: int, plan_bytes: bytes, user: Invoker) -> SignedPlan:
    """The plan, signed with a key that is in memory only and gone with this process.

    Args:
        answer: Of the child that `begin_decision` gave.
        status: Its wait status.
        plan_bytes: The plan.
        user: Whose processes are traced.

    Raises:
        DatacrumbsError: The plan was refused, or a limit ended the child.
    """
    try:
        check_end(status)
    except UndecidedError:
        raise DatacrumbsError(f"the plan was not checked in time: {UNDECIDED}", hint=UNDECIDED_HINT) from None
    except LimitError:
        raise DatacrumbsError(
            "checking the plan exceeds the allowed memory or processor time", hint="select fewer functions"
        ) from None
    refused = json.loads(answer)
    if refused:
        raise DatacrumbsError.of_parts(*refused)
    now = int(time.time())
    grant = Grant(user.uid, user.name, socket.gethostname(), now, now + GRANT_SECONDS)
    key = new_private_key()
    envelope = open_form(enveloped(PAYLOAD_TYPE, payload_of(grant, plan_bytes), key), PAYLOAD_TYPE)
    if envelope is None:
        raise DatacrumbsError(f"{NAME} cannot be signed")
    verify(envelope, key.public_key(), NAME)
    return read_payload(envelope, NAME)


def _judged(plan_bytes: bytes, user: Invoker, paths: SystemPaths) -> bytes:
    try:
        caller = with_account(Caller(user.uid, user.gid, os.getpid(), user.name, frozenset(), user.groups))
        plan, canonical, _ = check_schema(parse(plan_bytes, "plan"))
        # Not whether its snippets compile: the engine compiles them next, and says what is wrong in the same words.
        for installation in _installations(user, paths):
            decide(plan, digest(canonical), caller, _standards(plan, installation), kept_looks(paths.kept))
    except DatacrumbsError as error:
        return json.dumps(error.parts()).encode()
    return b"[]"


# For another user also the host's own, whatever --prefix says.
def _installations(user: Invoker, paths: SystemPaths) -> tuple[SystemPaths, ...]:
    of_host = SystemPaths()
    both = user.is_other and paths.prefix != of_host.prefix and os.path.lexists(of_host.policy)
    return (paths, of_host) if both else (paths,)


# What the host's administrator has set up holds here, too. Where nothing is set up, root has decided by installing
# the providers and calling this.
def _standards(plan: Plan, paths: SystemPaths) -> Standards:
    rules = read_policy(paths.policy) if os.path.lexists(paths.policy) else (PolicyRule(users=("*",)),)
    listed = os.path.lexists(paths.trusted_snippets)
    trusted = read_trusted(paths.trusted_snippets) if listed else _installed(plan)
    return Standards(rules, trusted, read_revocations(paths.trusted_keys))


def _installed(plan: Plan) -> tuple[TrustedSnippet, ...]:
    names = {snippet.provider for snippet in plan.snippets} & provider_distributions().keys()
    return tuple(snippet.entry for name in sorted(names) for snippet in installed_snippets(name))
