"""A process of a daemon beside the one that traces, and the channel to it. What comes from there is not trusted."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from datacrumbs.daemon import confinement
from datacrumbs.daemon.channel import Channel
from datacrumbs.secure.privilege import close_others

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_REQUEST_LIMIT = 1 << 31
_PATIENCE_SECONDS = 1.0


class ChildProcess:
    """Begins a process and ends it.

    It begins before anything is loaded, so it never has a descriptor that it is not given.

    Args:
        sends: The classes of messages that it is sent.
        answers: The classes of messages that it sends.
        prepare: Runs in the new process first: imports, and gives privileges up. Gives what runs then.
        answer_limit: The longest message taken from it, in bytes.
        takes_descriptors: Whether descriptors are taken from it.
        more_calls: System calls that it may use beside those of all processes of this kind.
    """

    def __init__(
        self,
        sends: Sequence[type[Any]],
        answers: Sequence[type[Any]],
        prepare: Callable[[], Callable[[Channel], None]],
        answer_limit: int,
        *,
        takes_descriptors: bool = False,
        more_calls: Sequence[str] = (),
    ) -> None:
        ours, theirs = socket.socketpair()
        self._has_ended = False
        self._pid = os.fork()
        if not self._pid:
            _be_the_child(theirs, sends, prepare, more_calls)
        theirs.close()
        self.channel = Channel(ours, answers, answer_limit, takes_descriptors=takes_descriptors)

    def close(self, seconds: float = _PATIENCE_SECONDS) -> bool:
        """Have it end, and wait this long for that before it is killed; gives whether it has ended. Idempotent."""
        if not self._pid:
            return self._has_ended
        self.channel.close()
        self._has_ended = has_ended(self._pid, seconds)
        if not self._has_ended:
            os.kill(self._pid, signal.SIGKILL)
            # One that hangs in its file system ends when that goes on.
            self._has_ended = has_ended(self._pid, _PATIENCE_SECONDS)
        self._pid = 0
        return self._has_ended


def has_ended(process: int, seconds: float) -> bool:
    """Whether a child process ends within some seconds; then nothing of it is left."""
    deadline = time.monotonic() + seconds
    while os.waitpid(process, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _be_the_child(
    end: socket.socket,
    accepted: Sequence[type[Any]],
    prepare: Callable[[], Callable[[Channel], None]],
    more_calls: Sequence[str],
) -> None:
    status = 1
    try:
        sys.stderr = sys.__stderr__
        close_others([end.fileno()])
        confinement.leave_terminal()
        work = prepare()
        confinement.confine_beside(more_calls)
        gc.freeze()
        gc.enable()
        work(Channel(end, accepted, _REQUEST_LIMIT, takes_descriptors=True))
        status = 0
    except BaseException:  # noqa: BLE001 - nothing of the process that was forked may run on
        traceback.print_exc()
    finally:
        os._exit(status)
