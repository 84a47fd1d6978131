"""Questions to the account database, which may be a server that does not answer, asked for a bounded time."""

from __future__ import annotations

import grp
import os
import pwd
import select
import signal
from contextlib import suppress

from datacrumbs.secure.killed import wait_for_killed
from datacrumbs.secure.privilege import close_others

ANSWER_SECONDS = 10.0
_KNOWN, _UNKNOWN = b"+", b"-"


def has_name(identity: int) -> bool | None:
    """Whether an id is an account's or a group's; None where that was not said within `ANSWER_SECONDS`.

    A child asks, since the C library waits for its sources without a limit.

    Raises:
        OSError: No process can be made.
    """
    here, there = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
        if pid == 0:
            _ask(identity, there)
    except OSError:
        os.close(here)
        raise
    finally:
        os.close(there)
    try:
        said = os.read(here, 1) if select.select([here], [], [], ANSWER_SECONDS)[0] else b""
    finally:
        os.close(here)
        os.kill(pid, signal.SIGKILL)
        wait_for_killed(pid)
    return {_KNOWN: True, _UNKNOWN: False}.get(said)


# Never returns: what calls it belongs to the parent.
def _ask(identity: int, there: int) -> None:
    try:
        close_others([there])
        os.write(there, _KNOWN if _is_known(identity) else _UNKNOWN)
    finally:
        os._exit(0)


def _is_known(identity: int) -> bool:
    for ask in (pwd.getpwuid, grp.getgrgid):
        with suppress(KeyError):
            ask(identity)
            return True
    return False
