"""Labels of arguments: what a parameter is called in a trace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_LIMIT = 48


def argument_label(name: str, position: int, taken: Collection[str] = ()) -> str:
    """A parameter's name as a label: lower case, digits and underscores, and not one that is taken."""
    label = re.sub(r"[^a-z0-9_]", "_", name.lower()).strip("_")[:_LIMIT]
    if not label or not label[0].isalpha():
        label = f"argument{position}"
    free, number = label, position
    while free in taken:
        free, number = f"{label}{number}", number + 1
    return free
