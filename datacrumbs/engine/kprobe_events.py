"""Return probes of kernel functions with room for every call that waits.

A return probe needs a place for each call in progress, of any process. A probe made by
perf_event_open(2) alone has ten places on a small machine; the eleventh reader that waits in
``vfs_read`` would be seen to enter and never to return. Only tracefs takes a number of places
(``r1024:`` in ``kprobe_events``), so the probe is defined there and attached by its id.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path

from datacrumbs.engine import links
from datacrumbs.kernel.tracefs import mounted_tracefs

PLACES = 1024
"""Calls of one function that can be in progress at once; about 100 bytes of kernel memory each."""

_PREFIX = "datacrumbs_"
_OWN_GROUP = re.compile(rf"r\d*:({_PREFIX}(\d+)_[0-9a-f]+/\w+) ")
_token = secrets.token_hex(4)
_numbers = itertools.count()


class _DefinedLink(links.Link):
    def __init__(self, link: links.Link, event: str) -> None:
        super().__init__()
        self._link = link
        self._event = event

    def close(self) -> None:
        """Detach, and remove the definition; idempotent."""
        self._link.close()
        if self._event:
            with suppress(OSError):
                _write(f"-:{self._event}")
            self._event = ""


def attach_kernel_return(program: int, symbol: str, cookie: int) -> links.Link:
    """Attach to the return of a kernel function.

    Raises:
        OSError: The function cannot be probed.

    """
    group = f"{_PREFIX}{os.getpid()}_{_token}"
    event = f"return_{next(_numbers)}"
    _write(f"r{PLACES}:{group}/{event} {symbol}")
    try:
        return _DefinedLink(links.attach_tracepoint(program, group, event, cookie), f"{group}/{event}")
    except OSError:
        with suppress(OSError):
            _write(f"-:{group}/{event}")
        raise


def remove_left_definitions() -> None:
    """Remove the definitions of runs that were killed; those in use refuse to go."""
    with suppress(OSError):
        text = _definitions().read_text(encoding="ascii", errors="replace")
        for event, process in _OWN_GROUP.findall(text):
            if not Path(f"/proc/{process}").exists():
                with suppress(OSError):
                    _write(f"-:{event}")


def _definitions() -> Path:
    return mounted_tracefs() / "kprobe_events"


# Appended, since any other way would first remove the definitions of everyone; not by Python's
# files, which look for the end first, where tracefs has none.
def _write(line: str) -> None:
    os.write(_appending(), line.encode("ascii") + b"\n")


# It stays open: when definitions are removed, this process may have no right to the file any more.
@cache
def _appending() -> int:
    return os.open(_definitions(), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
