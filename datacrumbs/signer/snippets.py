"""The C snippets that an administrator trusts to run in the kernel (``trusted-snippets.yaml``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import yaml

from datacrumbs.model.licences import licence_problem
from datacrumbs.probefile.codec import snippet_digest
from datacrumbs.secure.document import LISTS, read_document_if_present
from datacrumbs.secure.files import write_atomically
from datacrumbs.serving.denial import DenialError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from datacrumbs.model.plan import Plan

HEADING = "# Snippets that may be signed into probe files. Written by datacrumbs_trust.\n"


@dataclass(frozen=True, slots=True, order=True)
class TrustedSnippet:
    """One snippet of one version of a provider's distribution."""

    provider: str
    distribution: str
    version: str
    file: str
    sha256: str


def read_trusted(path: Path) -> tuple[TrustedSnippet, ...]:
    """The trusted snippets, sorted; none when the file is missing.

    Raises:
        DatacrumbsError: (exit 2) for a wrong form; (exit 3) when somebody else may change the file.
    """
    document = read_document_if_present(path, limits=LISTS)
    if document is None:
        return ()
    entries = document.mapping(("snippets",), required=("snippets",))["snippets"].items()
    keys = [field.name for field in fields(TrustedSnippet)]
    rows = [entry.mapping(keys, required=keys) for entry in entries]
    return tuple(sorted(TrustedSnippet(**{key: value.text() for key, value in row.items()}) for row in rows))


def write_trusted(path: Path, entries: Iterable[TrustedSnippet]) -> None:
    """Replace the list, sorted and without doubles."""
    document = {"snippets": [asdict(entry) for entry in sorted(set(entries))]}
    write_atomically(path, (HEADING + yaml.safe_dump(document, sort_keys=False)).encode(), 0o644)


def check_trusted(plan: Plan, trusted: tuple[TrustedSnippet, ...]) -> None:
    """Check that each snippet of a plan is one that the administrator trusts.

    Raises:
        DenialError: For an untrusted or altered snippet, or one whose licence the kernel does not take.
    """
    packages = {entry.name: entry for entry in plan.providers}
    known = set(trusted)
    for snippet in plan.snippets:
        package = packages[snippet.provider]
        digest = snippet_digest(snippet.text)
        file = f"{snippet.name}.bpf.c"
        if TrustedSnippet(snippet.provider, package.distribution, package.version, file, digest) not in known:
            raise DenialError(
                "snippet.untrusted",
                f"snippet {snippet.provider}/{snippet.name} of {package.distribution} {package.version} "
                f"(sha256 {digest[:16]}) is not trusted on this host",
                f"an administrator reads it, then runs datacrumbs_trust add --provider {snippet.provider}",
            )
        if problem := licence_problem(snippet):
            raise DenialError("snippet.licence", f"snippet {snippet.provider}/{snippet.name}: {problem}")
