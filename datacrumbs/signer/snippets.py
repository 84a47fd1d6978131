"""The C snippets that an administrator trusts to run in the kernel (``trusted-snippets.yaml``)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import yaml

from datacrumbs.probefile.codec import snippet_digest
from datacrumbs.secure.document import LISTS, read_document_if_present
from datacrumbs.secure.files import write_atomically
from datacrumbs.signer.denial import DenialError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from datacrumbs.model.plan import Plan, Snippet

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


def check_snippets(plan: Plan, trusted: tuple[TrustedSnippet, ...]) -> None:
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
