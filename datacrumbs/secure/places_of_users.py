"""Places that the environment names, some of which stay a user's under sudo: root uses none that others can change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.output import warn
from datacrumbs.secure.files import first_unprotected

if TYPE_CHECKING:
    from collections.abc import Iterable

TEMPORARY = ("TMPDIR", "TEMP", "TMP", "POLARS_TEMP_DIR")
"""Where Python and polars make files that they read again."""


def leave_out_places_of_users(names: Iterable[str], what: str) -> None:
    """As root, take variables out of the environment that lead to where others can change something.

    Args:
        names: The variables.
        what: Is left out there, for the warning.
    """
    for name in names if os.geteuid() == 0 else ():
        place = os.environ.get(name)
        if place and not _is_of_root(Path(place)):
            warn(f"{name}={place}: users other than root can change it; {what} there is left out")
            del os.environ[name]


def _is_of_root(place: Path) -> bool:
    try:
        return first_unprotected(place.resolve(strict=True), sticky=True) is None
    except (OSError, RuntimeError):
        return False
