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
from datacrumbs.daemon.channel import Channel, Gone
from datacrumbs.daemon.messages import Failed
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.privilege import close_others, leave_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.daemon.channel import Received

_REQUEST_LIMIT = 1 << 31
_PATIENCE_SECONDS = 1.0
_TEXT_LIMIT = 1000


class ChildProcess:
    """Begins a process, talks to it, ends it.

    It begins before anything is loaded, so it never has a descriptor that it is not given.

    Args:
        sends: The classes of messages that it is sent.
        answers: The classes of messages that it sends.
        prepare: Runs in the new process first: imports, and gives privileges up. Gives what runs then.
        answer_limit: The longest message taken from it, in bytes.
        takes_descriptors: Whether descriptors are taken from it.
        more_calls: System calls that it may use beside those of all processes of this kind.

    Attributes:
        patience_seconds: How long it may take to end before it is killed.
    """

    patience_seconds = _PATIENCE_SECONDS

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

    def fileno(self) -> int:
        """Readable when it has said something, or is gone."""
        return self.channel.fileno()

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Say something; never waits.

        Raises:
            DatacrumbsError: It is gone.
        """
        try:
            self.channel.send(message, descriptors)
        except Gone:
            raise self.gone() from None

    def receive(self, seconds: float = 0.0) -> Received | None:
        """What it says, if it says something in this time.

        Raises:
            DatacrumbsError: It says that it failed, or is gone.
        """
        try:
            received = self.channel.receive(seconds)
        except Gone:
            raise self.gone() from None
        if received and isinstance(failed := received.message, Failed):
            raise DatacrumbsError(plain_text(failed.message, _TEXT_LIMIT), hint=plain_text(failed.hint, _TEXT_LIMIT))
        return received

    def gone(self) -> DatacrumbsError:
        """The error that it is gone."""
        return DatacrumbsError("a process of this run ended before it began")

    def close(self) -> bool:
        """Have it end, and wait for that; gives whether it has. Idempotent."""
        if not self._pid:
            return self._has_ended
        self.channel.close()
        self._has_ended = has_ended(self._pid, self.patience_seconds)
        if not self._has_ended:
            os.kill(self._pid, signal.SIGKILL)
            # One that hangs in its file system ends when that goes on.
            self._has_ended = has_ended(self._pid, _PATIENCE_SECONDS)
        self._pid = 0
        return self._has_ended


def plain_text(text: str, limit: int) -> str:
    """What such a process says, without what could steer a terminal, and not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])


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
        leave_terminal()
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
