"""A line in the system's log for each change of what this host believes."""

from __future__ import annotations

import json
import os
import syslog
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datacrumbs.system import SystemPaths

LOGIN = Path("/proc/self/loginuid")
NO_LOGIN = (1 << 32) - 1


def audit(paths: SystemPaths, action: str, what: object) -> None:
    """Log who changed what, as one ASCII JSON object; a private installation has no place in the system's log.

    Args:
        paths: The installation.
        action: What was done, as the command line names it.
        what: What it was done to; anything that JSON can carry.
    """
    if paths.prefix != Path("/"):
        return
    syslog.openlog("datacrumbs_trust", 0, syslog.LOG_AUTHPRIV)
    entry = {"action": action, "what": what, "uid": os.getuid(), "login_uid": _login_uid()}
    syslog.syslog(syslog.LOG_NOTICE, json.dumps(entry))


# Who logged in before becoming root; None for what no login started.
def _login_uid() -> int | None:
    with suppress(OSError, ValueError):
        number = int(LOGIN.read_text())
        return None if number == NO_LOGIN else number
    return None
