"""The part of ``datacrumbs_trust`` about keys and revocations."""

from __future__ import annotations

import json
import pwd
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.commands._audit import audit
from datacrumbs.errors import ExitCode, usage_error
from datacrumbs.install.steps import trust_public_key
from datacrumbs.probefile.envelope import key_id
from datacrumbs.probefile.keys import KEY_FILE_LIMIT, parse_public_key, trusted_key_ids
from datacrumbs.probefile.revocation import (
    DIGEST,
    KINDS,
    Revocations,
    check_entry,
    read_revocations,
    write_revocations,
)
from datacrumbs.probefile.storage import instant
from datacrumbs.secure.files import read_bounded
from datacrumbs.signer.private_key import load_private_key

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from datacrumbs.system import SystemPaths

REVOKING = ("revoke", "restore")
BY_ENTRY = ("plan", "snippet", "provider", "target", "symbol")
"""Options of `revoke` whose value is an entry of the list with their name."""


def change_or_list_keys(paths: SystemPaths, arguments: argparse.Namespace) -> int:
    """``add``, ``remove`` and ``list`` of public keys; ``list`` of revocations."""
    directory = paths.trusted_keys
    if arguments.action == "list":
        rows = _revoked_rows(read_revocations(directory)) if arguments.revoked else _key_rows(paths)
        _print(rows, as_json=arguments.json)
    elif arguments.action == "add":
        path = Path(arguments.key)
        key = parse_public_key(read_bounded(path, KEY_FILE_LIMIT), path)
        read_revocations(directory).check_key(key_id(key), str(path))
        if not arguments.dry_run:
            trust_public_key(paths.trusted_keys, key).act()
            audit(paths, "add key", key_id(key))
        _print([{"key": key_id(key), "state": "trusted"}], as_json=arguments.json)
    else:
        identity = _complete(arguments.key, trusted_key_ids(directory))
        if not arguments.dry_run:
            (directory / f"{identity}.pem").unlink()
            audit(paths, "remove key", identity)
        _print([{"key": identity, "state": "removed"}], as_json=arguments.json)
    return ExitCode.DONE


def change_revocations(paths: SystemPaths, arguments: argparse.Namespace) -> int:
    """``revoke`` and ``restore``."""
    directory = paths.trusted_keys
    known = read_revocations(directory)
    what = next(option for option in ("user", "key", *BY_ENTRY) if getattr(arguments, option) is not None)
    given = getattr(arguments, what)
    if what == "user":
        changed = _with_grants(known, arguments)
    else:
        changed = _with_entry(known, what, given, directory, arguments)
    if not arguments.dry_run:
        write_revocations(directory, changed)
        audit(paths, f"{arguments.action} {what}", given)
    _print(_revoked_rows(changed), as_json=arguments.json)
    return ExitCode.DONE


def _with_grants(known: Revocations, arguments: argparse.Namespace) -> Revocations:
    uid = _uid(arguments.user)
    grants = {owner: until for owner, until in known.grants if owner != uid}
    if arguments.action == "revoke":
        grants[uid] = int(time.time())
    return replace(known, grants=tuple(sorted(grants.items())))


def _with_entry(
    known: Revocations, what: str, given: str, directory: Path, arguments: argparse.Namespace
) -> Revocations:
    kind = f"{what}s"
    entries: frozenset[str] = getattr(known, kind)
    if what == "key":
        entry = _complete(given, {*trusted_key_ids(directory), *entries})
    else:
        entry = check_entry(kind, given, f"--{what}")
    changed: dict[str, Any] = {kind: entries | {entry} if arguments.action == "revoke" else entries - {entry}}
    return replace(known, **changed)


def _key_rows(paths: SystemPaths) -> list[dict[str, object]]:
    roles = {}
    for role, path in (("signs here", paths.private_key), ("signs next", paths.next_private_key)):
        if path.exists():
            roles[key_id(load_private_key(path).public_key())] = role
    revoked = read_revocations(paths.trusted_keys).keys
    return [
        {"key": identity, "state": "revoked" if identity in revoked else roles.get(identity, "trusted")}
        for identity in trusted_key_ids(paths.trusted_keys)
    ]


def _revoked_rows(revocations: Revocations) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"revoked": kind.removesuffix("s"), "what": entry}
        for kind in KINDS
        for entry in sorted(getattr(revocations, kind))
    ]
    rows += [
        {"revoked": "grant", "what": f"uid {uid}, issued until {instant(until)}"} for uid, until in revocations.grants
    ]
    return rows


def _complete(beginning: str, candidates: Iterable[str]) -> str:
    found = [identity for identity in candidates if identity.startswith(beginning.removesuffix(".pem"))]
    if len(found) == 1 and beginning:
        return found[0]
    if not found and DIGEST.fullmatch(beginning):
        return beginning  # of a key that this host never knew
    raise usage_error(f"--key: {beginning!a} is the beginning of {len(found)} keys; expected one: see list --keys")


def _uid(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        if name.isascii() and name.isdigit():
            return int(name)
        raise usage_error(f"--user: {name!a}: no such user on this host; expected a name or a number") from None


def _print(rows: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2, sort_keys=True))
        return
    for row in rows:
        print("  ".join(str(value) for value in row.values()))
