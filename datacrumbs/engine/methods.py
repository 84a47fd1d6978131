"""The ways to attach to library functions."""

from __future__ import annotations

from enum import StrEnum


class AttachMethod(StrEnum):
    """A way to attach to library functions, the fastest first; AUTO takes the first that works."""

    AUTO = "auto"
    SESSION = "session"
    MULTI = "multi"
    PERF = "perf"


TITLES = {
    AttachMethod.SESSION: "uprobe session link",
    AttachMethod.MULTI: "uprobe multi link",
    AttachMethod.PERF: "perf event link with cookie",
}
