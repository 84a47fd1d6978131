"""What is no longer believed although its signature is right (``revoked.yaml`` in the trust directory).

A signature holds until its grant ends. To end it earlier (a key that leaked, a snippet that turned out bad, a user who
left, a function that must not be probed), an administrator writes that down here, and the list travels to the nodes as
the keys do. A plan that is revoked by its digest can be composed again with a small difference; what it probes cannot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import yaml

from datacrumbs.errors import RECREATE, refusal, usage_error
from datacrumbs.model.plan import Attach
from datacrumbs.model.rules import BUILD_ID
from datacrumbs.probefile.codec import snippet_digest
from datacrumbs.secure.document import LISTS, Value, read_document_if_present
from datacrumbs.secure.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.model.plan import Function, Group, Plan, Target
    from datacrumbs.probefile.envelope import Grant

FILE_NAME = "revoked.yaml"
HEADING = "# What is no longer trusted. Written by datacrumbs_trust revoke.\n"
DIGEST = re.compile(r"[0-9a-f]{64}")
USER_ID = re.compile(r"0|[1-9][0-9]{0,9}")
KERNEL = "kernel"
_DIGESTS = (DIGEST, "64 hex digits")
_FORMS = {
    "keys": _DIGESTS,
    "plans": _DIGESTS,
    "snippets": _DIGESTS,
    "providers": (re.compile(r"[a-z][a-z0-9_]*"), "a provider's name"),
    "targets": (
        re.compile(rf"/[^\x00-\x1f\x7f]*|{KERNEL}|{BUILD_ID}"),
        f"a pattern of absolute paths, a build-id, or `{KERNEL}`",
    ),
    "symbols": (re.compile(r"[!-~]+"), "a symbol, BUILD-ID:0xOFFSET, or syscall:NUMBER"),
}
KINDS = tuple(_FORMS)


@dataclass(frozen=True, slots=True)
class Revocations:
    """What was revoked.

    Args:
        keys: Identities of public keys.
        plans: Digests of plans, as `datacrumbs_probe_configurator --show` and each trace give them.
        snippets: SHA-256 of snippets' texts.
        providers: Names of providers.
        targets: Shell patterns of target paths, ``kernel``, and build-ids.
        symbols: Names of functions, with or without version. The kernel finds its functions and events by name. In an
            ELF file a plan may call a place whatever it likes, so such a place is revoked as ``BUILD-ID:0xOFFSET``, and
            a system call as ``syscall:NUMBER``.
        grants: User id -> seconds since the epoch; grants issued to that user until then have ended.
    """

    keys: frozenset[str] = frozenset()
    plans: frozenset[str] = frozenset()
    snippets: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    grants: tuple[tuple[int, int], ...] = ()

    def check_key(self, key_id: str, name: str) -> None:
        """Refuse what a revoked key has signed.

        Raises:
            DatacrumbsError: (exit 3).
        """
        if key_id in self.keys:
            raise refusal(f"{name}: signed with key {key_id[:16]}, which was revoked", RECREATE)

    def check_plan(self, plan: Plan, digest: str, name: str) -> None:
        """Refuse a revoked plan, and one with a snippet, a provider, a target or a function that was revoked.

        Raises:
            DatacrumbsError: (exit 3).
        """
        if digest in self.plans:
            raise refusal(f"{name}: plan {digest[:16]} was revoked", "select other functions")
        for snippet in plan.snippets:
            if snippet_digest(snippet.text) in self.snippets:
                raise refusal(
                    f"{name}: its snippet {snippet.provider}/{snippet.name} was revoked",
                    f"update the provider {snippet.provider}, then {RECREATE}",
                )
        for provider in sorted(self.providers & {*(entry.name for entry in plan.providers), *_providers(plan)}):
            raise refusal(f"{name}: provider {provider} was revoked", f"leave out {provider}")
        for group in plan.groups:
            if self._is_revoked_target(group.target):
                raise refusal(f"{name}: target {group.target.path or KERNEL} was revoked", "select other files")
            for function in group.functions if self.symbols else ():
                if found := self.symbols & _names(group, function):
                    raise refusal(f"{name}: function {min(found)} was revoked", "select other functions")

    def _is_revoked_target(self, target: Target) -> bool:
        if target.build_id in self.targets:
            return True
        return any(fnmatchcase(target.path or KERNEL, pattern) for pattern in self.targets)

    def check_grant(self, grant: Grant, name: str) -> None:
        """Refuse a revoked grant.

        Raises:
            DatacrumbsError: (exit 3).
        """
        if grant.issued <= dict(self.grants).get(grant.uid, -1):
            raise refusal(f"{name}: the grants of {grant.user} (uid {grant.uid}) of that time were revoked", RECREATE)


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
    lists = {kind: frozenset(_entry(kind, entry) for entry in keys[kind].items()) for kind in KINDS if kind in keys}
    grants = keys["grants"].mapping() if "grants" in keys else {}
    return Revocations(**lists, grants=tuple((_uid(uid, until), _moment(until)) for uid, until in grants.items()))


def check_entry(kind: str, text: str, name: str) -> str:
    """An entry of one of the `KINDS`, as the command line gives it.

    Raises:
        DatacrumbsError: (exit 2) when its form is wrong; ``name`` is what the message calls it.
    """
    form, expected = _FORMS[kind]
    if not form.fullmatch(text):
        raise usage_error(f"{name}: {text!a}; expected {expected}")
    return text


def _entry(kind: str, entry: Value) -> str:
    form, expected = _FORMS[kind]
    if not isinstance(entry.content, str) or not form.fullmatch(entry.content):
        entry.fail(f"{entry.shown} cannot be revoked", expected)
    return entry.content


def _providers(plan: Plan) -> set[str]:
    return {group.provider for group in plan.groups}


# All that a revocation can call a function: its names, and its places, which it cannot be given another name for.
def _names(group: Group, function: Function) -> set[str]:
    full = (function.symbol, *function.aliases)
    names = {*full, *(name.partition("@")[0] for name in full)}
    if group.attach is Attach.SYSCALL:
        return names | {f"syscall:{function.offset}"}
    if group.target.is_kernel:
        return names
    offsets = (function.offset, *(place.offset for place in (*function.more_places, *function.return_places)))
    return names | {f"{group.target.build_id}:{offset:#x}" for offset in offsets}


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
