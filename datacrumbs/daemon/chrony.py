"""What chrony says of the wall clock that it sets: from which source, and how wrong it may be.

chronyd gives up root's rights and talks to the network, so what it says is read strictly, and asked for once, before
the run begins to trace. ``chronyc`` makes a socket beside chronyd's and changes its mode by its name, so it has no more
rights there than chronyd: those of the directory's owner, whose questions chronyd answers as it does root's.
"""

from __future__ import annotations

import math
import re
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.trace.clocks import ClockSetter

if TYPE_CHECKING:
    import os

SOCKET = Path("/run/chrony/chronyd.sock")
_COMMAND = ("chronyc", "-n", "-c", "-h", str(SOCKET), "tracking")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}
_SECONDS = 1.0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FIELDS = 14
_IDENTITY, _NAME, _STRATUM, _OFFSET, _DELAY, _DISPERSION, _LEAP = 0, 1, 2, 4, 10, 11, 13  # chronyc(1), tracking
_LOCAL = "7F7F0101"  # its own clock, where a site says that nothing better is there
_UNSYNCHRONISED = "Not synchronised"
_REFERENCE = re.compile(r"[0-9A-Za-z.:%_-]{1,64}")
_NUMBER = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,9})?")
_HIGHEST_STRATUM = 16


def chrony_setter() -> ClockSetter | None:
    """What chrony says; None where chronyd does not run, does not answer, or makes no sense."""
    if not SOCKET.is_socket():
        return None
    try:
        rights = _rights(SOCKET.parent.lstat())
        if rights is None:
            return None
        done = subprocess.run(
            _COMMAND,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            timeout=_SECONDS,
            check=True,
            **rights,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return setter_of(done.stdout.decode("ascii", "replace"))


# As whom chronyc runs; None where others than the directory's owner could lead root astray in it.
def _rights(directory: os.stat_result) -> dict[str, Any] | None:
    if directory.st_uid:
        return {"user": directory.st_uid, "group": directory.st_gid, "extra_groups": []}
    return None if stat.S_IMODE(directory.st_mode) & _OTHERS_WRITE else {}


def setter_of(text: str) -> ClockSetter | None:
    """What the output of ``chronyc -c tracking`` says; None where it is of another form."""
    fields = text.removesuffix("\n").split(",")
    if len(fields) != _FIELDS:
        return None
    numbers = [fields[place] for place in (_OFFSET, _DELAY, _DISPERSION)]
    stratum = fields[_STRATUM]
    if not (all(map(_NUMBER.fullmatch, numbers)) and stratum.isascii() and stratum.isdigit()):
        return None
    if len(stratum) > 2 or int(stratum) > _HIGHEST_STRATUM:
        return None
    if fields[_LEAP] == _UNSYNCHRONISED:
        return ClockSetter("chrony")
    offset, delay, dispersion = (abs(float(number)) for number in numbers)
    error = math.ceil((offset + delay / 2 + dispersion) * 1e6)
    name = "local" if fields[_IDENTITY] == _LOCAL else fields[_NAME]
    reference = name if _REFERENCE.fullmatch(name) else ""
    return ClockSetter("chrony", reference, int(stratum), error)
