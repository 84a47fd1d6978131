"""The decision: whether one caller's plan is signed."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.codec import digest, encode, plan_from_document
from datacrumbs.probefile.envelope import Grant, key_id, seal
from datacrumbs.probefile.revocation import read_revocations
from datacrumbs.serving.denial import denying
from datacrumbs.serving.limited import UNDECIDED, UNDECIDED_HINT, Bounds, UndecidedError, answer
from datacrumbs.signer.compilation import Compilation
from datacrumbs.signer.policy import check_policy, read_policy
from datacrumbs.signer.private_key import load_private_key
from datacrumbs.signer.snippets import check_trusted, read_trusted
from datacrumbs.signer.target_check import look_now
from datacrumbs.signer.target_rule import check_targets

if TYPE_CHECKING:
    from datacrumbs.model.plan import Plan
    from datacrumbs.probefile.revocation import Revocations
    from datacrumbs.serving.caller import Caller
    from datacrumbs.signer.policy import PolicyRule
    from datacrumbs.signer.snippets import TrustedSnippet
    from datacrumbs.signer.target_check import Ask
    from datacrumbs.system import SystemPaths

SECONDS_A_DAY = 86400
ANSWER_LIMIT = 64 << 10
KEY_BOUNDS = Bounds(memory=64 << 20, processor_seconds=10, clock_seconds=60)


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs what passes all checks.

    Key, policy, trust list and revocations are read for each request, so that changes hold at once.

    Args:
        paths: The installation.
        host: Name of this host, for the grant.
        compilation: What is known of snippets that were compiled.
    """

    paths: SystemPaths
    host: str
    compilation: Compilation = field(default_factory=Compilation)

    @property
    def key_id(self) -> str:
        """Identity of the signing key, which is in this process's memory from then on."""
        return key_id(load_private_key(self.paths.private_key).public_key())

    def sign(self, plan_bytes: bytes, plan: Plan, caller: Caller, ask: Ask = look_now) -> bytes:
        """The bytes of the probe file.

        Args:
            plan_bytes: Canonical bytes of the plan.
            plan: The plan, as `check_schema` gave it.
            caller: Who asks.
            ask: As for `check_target`.

        Raises:
            DenialError: With a code for the check that failed.
        """
        with denying("service.configuration"):
            standards = self.standards()
        rule = decide(plan, digest(plan_bytes), caller, standards, ask)
        if plan.snippets:
            self.compilation.check(plan.snippets)
        # Not before: the children that look at targets inherit the memory of this process.
        with denying("service.configuration"):
            key = load_private_key(self.paths.private_key)
            standards.revoked.check_key(key_id(key.public_key()), "this host's plans")
        issued = int(time.time())
        grant = Grant(caller.uid, caller.user, self.host, issued, issued + rule.grant_days * SECONDS_A_DAY)
        with denying("plan.size"):
            return seal(plan_bytes, grant, key)

    def standards(self) -> Standards:
        """By what plans are judged now.

        Raises:
            DatacrumbsError: A file cannot be read, others may change it, or its content is wrong.
        """
        return Standards(
            read_policy(self.paths.policy),
            read_trusted(self.paths.trusted_snippets),
            read_revocations(self.paths.trusted_keys),
        )


@dataclass(frozen=True, slots=True)
class Standards:
    """By what a plan is judged: the policy's rules, the snippets that are trusted, what was revoked."""

    rules: tuple[PolicyRule, ...]
    trusted: tuple[TrustedSnippet, ...]
    revoked: Revocations


def decide(plan: Plan, plan_digest: str, caller: Caller, standards: Standards, ask: Ask = look_now) -> PolicyRule:
    """Check all of a plan but its schema and whether its snippets compile, and give the rule that allows it.

    Args:
        plan: The plan.
        plan_digest: Of its canonical bytes.
        caller: Who asks.
        standards: By what it is judged.
        ask: As for `check_target`; the signing service looks each time.

    Raises:
        DenialError: With a code for the check that failed.
    """
    rule = check_policy(standards.rules, plan, caller)
    check_trusted(plan, standards.trusted)
    with denying("plan.revoked"):
        standards.revoked.check_plan(plan, plan_digest, "policy")
    check_targets(plan, caller, rule, ask)
    return rule


def open_authority(paths: SystemPaths) -> Authority:
    """The authority of an installation.

    Raises:
        DatacrumbsError: When there is no key or others may read it, or policy or trust list are wrong.
    """
    checked_key_id(paths)
    read_policy(paths.policy)
    read_trusted(paths.trusted_snippets)
    read_revocations(paths.trusted_keys)
    return Authority(paths, socket.gethostname())


def checked_key_id(paths: SystemPaths) -> str:
    """Identity of the signing key, read by a child: the memory of this process goes to all its later children.

    Raises:
        DatacrumbsError: When there is no key or others may read it.
    """

    def read() -> bytes:
        try:
            found: object = key_id(load_private_key(paths.private_key).public_key())
        except DatacrumbsError as error:
            found = error.parts()
        return json.dumps(found).encode()

    try:
        found = json.loads(answer(read, KEY_BOUNDS.stretched(), ANSWER_LIMIT))
    except UndecidedError:
        raise DatacrumbsError(f"{paths.private_key}: not read in time: {UNDECIDED}", hint=UNDECIDED_HINT) from None
    if isinstance(found, list):
        raise DatacrumbsError.of_parts(*found)
    return str(found)


def check_schema(document: object) -> tuple[Plan, bytes, str]:
    """A plan from a request: checked, its canonical bytes, its digest.

    Raises:
        DenialError: (exit 2) naming the key at fault.
    """
    with denying("plan.schema", ExitCode.USAGE):
        plan = plan_from_document(document)
        plan_bytes = encode(plan)
    return plan, plan_bytes, digest(plan_bytes)
