"""What is no longer believed although its signature is right (``revoked.yaml`` in the trust directory).

A signature holds until its grant ends. Whoever has to end it earlier (a key that leaked, a snippet that
turned out bad, a user who left) writes that down here, and the list travels to the nodes as the keys do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from datacrumbs.document import LISTS, Value, read_document_if_present
from datacrumbs.errors import refusal
from datacrumbs.probefile.codec import snippet_digest
from datacrumbs.probefile.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.probefile.envelope import Grant
    from datacrumbs.probefile.plan import Plan

FILE_NAME = "revoked.yaml"
HEADING = "# What is not believed any more. Written by datacrumbs_trust revoke.\n"
DIGEST = re.compile(r"[0-9a-f]{64}")
USER_ID = re.compile(r"0|[1-9][0-9]{0,9}")
KINDS = ("keys", "plans", "snippets")


@dataclass(frozen=True, slots=True)
class Revocations:
    """What was revoked.

    Args:
        keys: Identities of public keys.
        plans: Digests of plans, as `datacrumbs_probe_configurator --show` and each trace give them.
        snippets: SHA-256 of snippets' texts.
        grants: User id -> seconds since the epoch; grants issued to that user until then have ended.
    """

    keys: frozenset[str] = frozenset()
    plans: frozenset[str] = frozenset()
    snippets: frozenset[str] = frozenset()
    grants: tuple[tuple[int, int], ...] = ()

    def check_key(self, key_id: str, name: str) -> None:
        """Refuse what a revoked key has signed.

        Raises:
            DatacrumbsError: (exit 3).
        """
        if key_id in self.keys:
            raise refusal(f"{name}: signed with key {key_id[:16]}, which was revoked", _AGAIN)

    def check_plan(self, plan: Plan, digest: str, name: str) -> None:
        """Refuse a revoked plan, and one with a revoked snippet.

        Raises:
            DatacrumbsError: (exit 3).
        """
        if digest in self.plans:
            raise refusal(f"{name}: plan {digest[:16]} was revoked", "select other functions")
        for snippet in plan.snippets:
            if snippet_digest(snippet.text) in self.snippets:
                raise refusal(
                    f"{name}: its snippet {snippet.provider}/{snippet.name} was revoked",
                    f"update the provider {snippet.provider}, then compose it anew",
                )

    def check_grant(self, grant: Grant, name: str) -> None:
        """Refuse a revoked grant.

        Raises:
            DatacrumbsError: (exit 3).
        """
        if grant.issued <= dict(self.grants).get(grant.uid, -1):
            raise refusal(f"{name}: the grants of {grant.user} (uid {grant.uid}) of that time were revoked", _AGAIN)


def read_revocations(directory: Path) -> Revocations:
    """The revocations in a trust directory; none when there is no list.

    Raises:
        DatacrumbsError: (exit 2) for a wrong form; (exit 3) when somebody else may change the file.
    """
    document = read_document_if_present(directory / FILE_NAME, limits=LISTS)
    if document is None:
        return Revocations()
    keys = document.mapping((*KINDS, "grants"))
    if not keys:  # cut off, since an empty list is no file
        document.fail("is empty", f"one of {', '.join(KINDS)}, grants", "remove the file when nothing is revoked")
    lists = {kind: frozenset(map(_digest, keys[kind].items())) for kind in KINDS if kind in keys}
    grants = keys["grants"].mapping() if "grants" in keys else {}
    return Revocations(**lists, grants=tuple((_uid(uid, until), _moment(until)) for uid, until in grants.items()))


def _digest(entry: Value) -> str:
    if not isinstance(entry.content, str) or not DIGEST.fullmatch(entry.content):
        entry.fail(f"{entry.shown} is not a digest", "64 hex digits")
    return entry.content


def _uid(uid: str, where: Value) -> int:
    if not USER_ID.fullmatch(uid):
        where.fail(f"{uid!r} is not a user id", "a whole number")
    return int(uid)


def _moment(until: Value) -> int:
    if isinstance(until.content, bool) or not isinstance(until.content, int):
        until.fail(f"{until.shown} is not a time", "seconds since the epoch, a whole number")
    return until.content


def write_revocations(directory: Path, revocations: Revocations) -> None:
    """Replace the list; an empty one removes it."""
    path = directory / FILE_NAME
    document: dict[str, object] = {kind: sorted(entries) for kind in KINDS if (entries := getattr(revocations, kind))}
    if revocations.grants:
        document["grants"] = dict(sorted(revocations.grants))
    if document:
        write_atomically(path, (HEADING + yaml.safe_dump(document, sort_keys=False)).encode(), 0o644)
    else:
        path.unlink(missing_ok=True)


_AGAIN = "compose it anew with datacrumbs_probe_configurator"
