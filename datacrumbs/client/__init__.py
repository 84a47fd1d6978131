"""The library and launcher that mark what is traced."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from datacrumbs.errors import DatacrumbsError

LIBRARY_NAME = "libdatacrumbs_client.so"
LAUNCHER_NAME = "datacrumbs_wrap"

# How one prefix is laid out, and how this interpreter's prefixes are called. The first is the
# interpreter's own; the others are where a distribution's pip and a user's pip install to.
_LIBRARY_PLACE = Path("lib/datacrumbs", LIBRARY_NAME)
_SCHEMES = (sysconfig.get_default_scheme(), "posix_prefix", "posix_local", "posix_user")


def client_library() -> Path:
    """The installed client library, links resolved: the file whose functions are probed.

    Raises:
        DatacrumbsError: (exit 1) when the installation lacks it.
    """
    return _installed("data", _LIBRARY_PLACE)


def launcher() -> Path:
    """The installed launcher, links resolved; it has probe points of its own.

    Raises:
        DatacrumbsError: (exit 1) when the installation lacks it.
    """
    return _installed("scripts", Path(LAUNCHER_NAME))


def _installed(kind: str, place: Path) -> Path:
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
        hint="install the datacrumbs package again: its build compiles the client",
    )
