"""Which snippets the kernel takes by their licence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datacrumbs.model.plan import Snippet

_SPDX_LINE = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+ ()-]+?)\s*(\*/|$)", re.MULTILINE)
# https://www.gnu.org/licenses/license-list.html: what may be linked into GPL-2.0-only code.
_GPL_COMPATIBLE = frozenset(
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


def licence_problem(snippet: Snippet) -> str:
    """Why the kernel would not take a snippet with this licence; empty when it does."""
    if not is_gpl_compatible(snippet.licence):
        return f"licence {snippet.licence} is not compatible with the kernel's GPL"
    stated = _SPDX_LINE.search(snippet.text)
    if stated is None or stated.group(1) != snippet.licence:
        found = stated.group(1) if stated else "none"
        return f"the text says licence {found} (SPDX-License-Identifier), the plan says {snippet.licence}"
    return ""


def is_gpl_compatible(expression: str) -> bool:
    """Whether an SPDX expression lets the code into the kernel: of ``A OR B`` one must, of ``A AND B`` both."""
    plain = expression.replace("(", " ").replace(")", " ")
    if plain != expression and " AND " in plain:
        return False  # mixed nesting, which no provider needs
    alternatives = [part.split(" AND ") for part in plain.strip().split(" OR ")]
    return any(all(name.strip() in _GPL_COMPATIBLE for name in names) for names in alternatives)
