"""The process that writes, as the process that traces sees it. What comes from there is not trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacrumbs.daemon import confinement
from datacrumbs.daemon.channel import Gone
from datacrumbs.daemon.child_process import ChildProcess
from datacrumbs.daemon.messages import FROM_WRITER, TO_WRITER, Failed
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure import privilege

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.daemon.channel import Channel
    from datacrumbs.daemon.identity import Owner
    from datacrumbs.daemon.messages import WritingRequest

_ANSWER_LIMIT = 1 << 16
_TEXT_LIMIT = 1000
_END_SECONDS = 5.0  # within those that the seal has: only behind its end the trace can be sealed
_FOR_CLIENTS = ("accept4", "getsockopt")


class WriterProcess:
    """Begins the process, talks to it, ends it.

    Args:
        user: As whom it runs; for root it is nobody.
        request: What it is to write.
    """

    def __init__(self, user: Owner, request: WritingRequest) -> None:
        prepare = lambda: _prepared(user, request)  # noqa: E731
        self._process = ChildProcess(TO_WRITER, FROM_WRITER, prepare, _ANSWER_LIMIT, more_calls=_FOR_CLIENTS)
        self._channel = self._process.channel

    def fileno(self) -> int:
        """Readable when it has said something."""
        return self._channel.fileno()

    def is_ready(self) -> bool:
        """Whether it has taken all that was said to it; hands the rest on if there is room.

        Raises:
            DatacrumbsError: It is gone.
        """
        try:
            return self._channel.pass_on()
        except Gone:
            raise _gone() from None

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Say something; never waits.

        Raises:
            DatacrumbsError: It is gone.
        """
        try:
            self._channel.send(message, descriptors)
        except Gone:
            raise _gone() from None

    def receive(self, seconds: float = 0.0) -> Any | None:
        """What it says, if it says something in this time.

        Raises:
            DatacrumbsError: It cannot write, or is gone.
        """
        try:
            received = self._channel.receive(seconds)
        except Gone:
            raise _gone() from None
        message = received and received.message
        if isinstance(message, Failed):
            raise DatacrumbsError(_text(message.message), hint=_text(message.hint))
        return message

    def close(self) -> bool:
        """Have it end, and wait for that; gives whether it has. Idempotent."""
        return self._process.close(_END_SECONDS)


# Meanwhile the other process loads its programs. What is run later must be there while root may still read it: an
# installation below a home directory is closed to others.
def _prepared(user: Owner, request: WritingRequest) -> Callable[[Channel], None]:
    from datacrumbs.daemon.writing import write_trace  # noqa: PLC0415
    from datacrumbs.trace.lines import load_library  # noqa: PLC0415

    load_library()
    if user.uid:
        privilege.become(user.uid, user.gid)
    else:
        privilege.become(privilege.NOBODY, privilege.NOBODY)
    confinement.change_no_files()
    return lambda channel: write_trace(channel, request)


def _text(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_TEXT_LIMIT])


def _gone() -> DatacrumbsError:
    return DatacrumbsError(
        "the process that writes the trace ended before the run did",
        hint="what has been written is readable; was the process killed, or did it run out of memory?",
    )
