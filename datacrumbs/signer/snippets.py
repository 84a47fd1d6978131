"""The C snippets that an administrator trusts to run in the kernel (``trusted-snippets.yaml``)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import yaml

from datacrumbs.errors import usage_error
from datacrumbs.probefile.codec import snippet_digest
from datacrumbs.probefile.files import write_atomically
from datacrumbs.probefile.protected_yaml import read_protected_yaml
from datacrumbs.signer.denial import DenialError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from datacrumbs.probefile.plan import Plan, Snippet

LIST_LIMIT = 4 << 20
HEADING = "# Snippets that may be signed into probe files. Written by datacrumbs_trust.\n"
SPDX_LINE = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+ ()-]+?)\s*(\*/|$)", re.MULTILINE)
# https://www.gnu.org/licenses/license-list.html: what may be linked into GPL-2.0-only code.
GPL_COMPATIBLE = frozenset(
    {
        "GPL-2.0",
        "GPL-2.0+",
        "GPL-2.0-only",
        "GPL-2.0-or-later",
        "LGPL-2.1",
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        "MIT",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
    }
)


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
    if not path.exists() and not path.is_symlink():
        return ()
    document = read_protected_yaml(path, LIST_LIMIT)
    entries = document.get("snippets") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise usage_error(f"{path}: expected the key `snippets` with a list")
    keys = {field.name for field in fields(TrustedSnippet)}
    for index, entry in enumerate(entries):
        strings = isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values())
        if not strings or set(entry) != keys:
            raise usage_error(f"{path}: snippets[{index}]: expected the keys {', '.join(sorted(keys))} with strings")
    return tuple(sorted(TrustedSnippet(**entry) for entry in entries))


def write_trusted(path: Path, entries: Iterable[TrustedSnippet]) -> None:
    """Replace the list, sorted and without doubles."""
    document = {"snippets": [asdict(entry) for entry in sorted(set(entries))]}
    write_atomically(path, (HEADING + yaml.safe_dump(document, sort_keys=False)).encode(), 0o644)


def check_snippets(plan: Plan, trusted: tuple[TrustedSnippet, ...]) -> None:
    """Check that each snippet of a plan is one that the administrator trusts.

    Raises:
        DenialError: For an untrusted or altered snippet, or one whose licence the kernel does not take.
    """
    packages = {entry.name: entry for entry in plan.providers}
    known = {(entry.provider, entry.distribution, entry.version, entry.sha256) for entry in trusted}
    for snippet in plan.snippets:
        package = packages[snippet.provider]
        digest = snippet_digest(snippet.text)
        if (snippet.provider, package.distribution, package.version, digest) not in known:
            raise DenialError(
                "snippet.untrusted",
                f"snippet {snippet.provider}/{snippet.name} of {package.distribution} {package.version} "
                f"(sha256 {digest[:16]}) is not trusted on this host",
                f"an administrator reads it, then runs datacrumbs_trust add --provider {snippet.provider}",
            )
        _check_licence(snippet)


def _check_licence(snippet: Snippet) -> None:
    name = f"snippet {snippet.provider}/{snippet.name}"
    if not is_gpl_compatible(snippet.licence):
        raise DenialError(
            "snippet.licence", f"{name}: licence {snippet.licence} is not compatible with the kernel's GPL"
        )
    stated = SPDX_LINE.search(snippet.text)
    if stated is None or stated.group(1) != snippet.licence:
        found = stated.group(1) if stated else "none"
        raise DenialError("snippet.licence", f"{name}: the text says licence {found}, the plan says {snippet.licence}")


def is_gpl_compatible(expression: str) -> bool:
    """Whether an SPDX expression lets the code into the kernel: of ``A OR B`` one must, of ``A AND B`` both."""
    plain = expression.replace("(", " ").replace(")", " ")
    if plain != expression and " AND " in plain:
        return False  # mixed nesting: nobody needs it here
    alternatives = [part.split(" AND ") for part in plain.strip().split(" OR ")]
    return any(all(name.strip() in GPL_COMPATIBLE for name in names) for names in alternatives)
