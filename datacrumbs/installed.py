"""Where the installed files are that are not Python's."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from datacrumbs.errors import DatacrumbsError

LIBRARIES = Path("lib/datacrumbs")

# How this interpreter's prefixes are called. The first is the interpreter's own; the others are where a
# distribution's pip and a user's pip install to.
_SCHEMES = (sysconfig.get_default_scheme(), "posix_prefix", "posix_local", "posix_user")


def installed(kind: str, place: Path) -> Path:
    """A file that the build put into the wheel, links resolved.

    Args:
        kind: As sysconfig calls it: ``data``, ``scripts``.
        place: Below that.

    Raises:
        DatacrumbsError: (exit 1) when the installation lacks it.
    """
    looked = []
    for scheme in dict.fromkeys(_SCHEMES):
        if scheme not in sysconfig.get_scheme_names():
            continue
        candidate = Path(sysconfig.get_path(kind, scheme)) / place
        if candidate.is_file():
            return candidate.resolve()
        looked.append(str(candidate))
    raise DatacrumbsError(
        f"{place.name} is not installed; looked for {', '.join(dict.fromkeys(looked))}",
        hint="install the datacrumbs package again: its build compiles it",
    )
