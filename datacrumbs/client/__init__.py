"""The library and launcher that mark what is traced."""

from __future__ import annotations

from pathlib import Path

from datacrumbs.installed import LIBRARIES, installed

LIBRARY_NAME = "libdatacrumbs_client.so"
LAUNCHER_NAME = "datacrumbs_wrap"


def client_library() -> Path:
    """The installed client library, links resolved: the file whose functions are probed.

    Raises:
        DatacrumbsError: (exit 1) when the installation lacks it.
    """
    return installed("data", LIBRARIES / LIBRARY_NAME)


def launcher() -> Path:
    """The installed launcher, links resolved; it has probe points of its own.

    Raises:
        DatacrumbsError: (exit 1) when the installation lacks it.
    """
    return installed("scripts", Path(LAUNCHER_NAME))
