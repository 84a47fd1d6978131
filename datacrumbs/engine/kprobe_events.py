"""Return probes of kernel functions with room for every call that waits.

A return probe needs a place for each call in progress, of any process. A probe made by
perf_event_open(2) alone has ten places on a small machine; the eleventh reader that waits in
``vfs_read`` would be seen to enter and never to return. Only tracefs takes a number of places
(``r1024:`` in ``kprobe_events``), so the probe is defined there and attached by its id.

A definition outlives a killed daemon. Its name cannot tell whether that is so, since the process ids of
containers say nothing outside of them: the kernel refuses to remove one in use, and a lock on the
file, held from the definition to the attachment, protects one that is not used yet.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import secrets
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from datacrumbs.engine import links
from datacrumbs.kernel.tracefs import mounted_tracefs

if TYPE_CHECKING:
    from pathlib import Path

PLACES = 1024
"""Calls of one function that can be in progress at once; about 100 bytes of kernel memory each."""

_PREFIX = "datacrumbs_"
_DEFINED = re.compile(rf"^r\d*:({_PREFIX}(?:\d+_)?[0-9a-f]+/return_\d+) ", re.MULTILINE)
_group = f"{_PREFIX}{secrets.token_hex(8)}"
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
    event = f"return_{next(_numbers)}"
    fcntl.flock(_appending(), fcntl.LOCK_SH)
    try:
        _write(f"r{PLACES}:{_group}/{event} {symbol}")
        try:
            return _DefinedLink(links.attach_tracepoint(program, _group, event, cookie), f"{_group}/{event}")
        except OSError:
            with suppress(OSError):
                _write(f"-:{_group}/{event}")
            raise
    finally:
        fcntl.flock(_appending(), fcntl.LOCK_UN)


def remove_left_definitions() -> None:
    """Remove the definitions of runs that were killed, unless another daemon is just making its own."""
    with suppress(OSError), _definitions().open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for event in _DEFINED.findall(stream.read().decode("ascii", "replace")):
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
