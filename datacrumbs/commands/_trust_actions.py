"""What ``datacrumbs_trust`` does with snippets; `_trusted_keys` has the part about keys and revocations."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from datacrumbs.commands._audit import audit
from datacrumbs.commands._seals import verify_seal
from datacrumbs.commands._trusted_keys import REVOKING, change_or_list_keys, change_revocations
from datacrumbs.errors import ExitCode, usage_error
from datacrumbs.output import Verbosity, inform, verbosity, warn
from datacrumbs.signer.provider_snippets import InstalledSnippet, installed_snippets, provider_distributions
from datacrumbs.signer.snippets import TrustedSnippet, read_trusted, write_trusted
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path


def trust(arguments: argparse.Namespace) -> int:
    """Run one action; the exit status is 1 when ``verify`` finds a difference."""
    paths = SystemPaths(arguments.prefix)
    if arguments.action == "verify-seal":
        return verify_seal(paths, arguments.seal, arguments.traces, as_json=arguments.json)
    if arguments.dry_run:
        inform("dry run: nothing is changed")
    if arguments.action in REVOKING:
        return change_revocations(paths, arguments)
    if arguments.key or arguments.keys or arguments.revoked:
        return change_or_list_keys(paths, arguments)
    path = paths.trusted_snippets
    if arguments.action in {"add", "remove"}:
        change = _add if arguments.action == "add" else _remove
        change(path, arguments)
        if not arguments.dry_run:
            audit(paths, f"{arguments.action} snippets", arguments.provider or arguments.distribution)
        return ExitCode.DONE
    if arguments.action == "list":
        _print([asdict(entry) for entry in _chosen(read_trusted(path), arguments)], as_json=arguments.json)
        return ExitCode.DONE
    return _verify(path, arguments)


# The list may have them already.
def _trust_snippets(path: Path, found: Sequence[InstalledSnippet]) -> None:
    known = read_trusted(path)
    entries = {snippet.entry for snippet in found}
    if not entries <= set(known):
        write_trusted(path, entries.union(known))


def _add(path: Path, arguments: argparse.Namespace) -> None:
    rows: list[dict[str, object]] = []
    for provider in _providers(arguments):
        found = installed_snippets(provider)
        if not arguments.dry_run:
            _trust_snippets(path, found)
        if not found:
            inform(f"{provider} has no snippets; nothing to trust")
        for snippet in found:
            if snippet.owner != 0:
                warn(
                    f"warning: {snippet.path}: owned by uid {snippet.owner}, who could have changed it; "
                    "its present content is trusted"
                )
            rows.append(asdict(snippet.entry))
    _print(rows, as_json=arguments.json)


def _remove(path: Path, arguments: argparse.Namespace) -> None:
    known = read_trusted(path)
    gone = _chosen(known, arguments)
    if not gone:
        raise usage_error(f"remove: {arguments.provider or arguments.distribution} is not in {path}")
    if not arguments.dry_run:
        write_trusted(path, set(known) - set(gone))
    _print([asdict(entry) for entry in gone], as_json=arguments.json)


def _verify(path: Path, arguments: argparse.Namespace) -> int:
    known = set(_chosen(read_trusted(path), arguments))
    installed: set[TrustedSnippet] = set()
    for provider in _providers(arguments):
        installed.update(snippet.entry for snippet in installed_snippets(provider))
    rows: list[dict[str, object]] = []
    for entry in sorted(known | installed):
        state = "trusted" if entry in known & installed else "not trusted" if entry in installed else "not installed"
        rows.append(asdict(entry) | {"state": state})
    _print(rows, as_json=arguments.json)
    return ExitCode.FAILED if installed - known else ExitCode.DONE


def _providers(arguments: argparse.Namespace) -> list[str]:
    if arguments.provider:
        return [arguments.provider]
    if not arguments.distribution:
        return sorted(provider_distributions())
    wanted = _normal(arguments.distribution)
    found = sorted(
        name
        for name, distribution in provider_distributions().items()
        if _normal(distribution.metadata["Name"]) == wanted
    )
    if not found:
        raise usage_error(f"{arguments.distribution}: no installed distribution of this name has a provider")
    return found


def _chosen(entries: tuple[TrustedSnippet, ...], arguments: argparse.Namespace) -> list[TrustedSnippet]:
    return [
        entry
        for entry in entries
        if arguments.provider in {None, entry.provider}
        and (arguments.distribution is None or _normal(arguments.distribution) == _normal(entry.distribution))
    ]


def _normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def _print(rows: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2, sort_keys=True))
        return
    for row in rows:
        state = f"  {row['state']}" if "state" in row else ""
        digest = str(row["sha256"])[: None if verbosity() == Verbosity.VERBOSE else 16]
        print(f"{row['provider']:<10} {row['distribution']} {row['version']}  {row['file']}  {digest}{state}")
