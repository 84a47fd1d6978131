"""The process that writes, as the process that traces sees it. What comes from there is not trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.daemon import confinement
from datacrumbs.daemon.channel import Gone
from datacrumbs.daemon.child_process import ChildProcess
from datacrumbs.daemon.messages import FROM_WRITER, TO_WRITER
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure import privilege
from datacrumbs.secure.user_rights import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.daemon.channel import Channel
    from datacrumbs.daemon.identity import Owner
    from datacrumbs.daemon.messages import WritingRequest

_ANSWER_LIMIT = 1 << 16
_FOR_CLIENTS = ("accept4", "getsockopt")


class WriterProcess(ChildProcess):
    """The process that writes a run's trace.

    Args:
        user: As whom it runs; for root it is nobody.
        request: What it is to write.
    """

    patience_seconds = 5.0  # within those that the seal has: only behind its end the trace can be sealed

    def __init__(self, user: Owner, request: WritingRequest) -> None:
        prepare = lambda: _prepared(user, request)  # noqa: E731
        super().__init__(TO_WRITER, FROM_WRITER, prepare, _ANSWER_LIMIT, more_calls=_FOR_CLIENTS)

    def is_ready(self) -> bool:
        """Whether it has taken all that was said to it; hands the rest on if there is room.

        Raises:
            DatacrumbsError: It is gone.
        """
        try:
            return self.channel.pass_on()
        except Gone:
            raise self.gone() from None

    def gone(self) -> DatacrumbsError:
        """The error that it is gone."""
        return DatacrumbsError(
            "the process that writes the trace ended before the run did",
            hint="what has been written is readable; was the process killed, or did it run out of memory?",
        )


# Meanwhile the other process loads its programs. What is run later must be there while root may still read it: an
# installation below a home directory is closed to others.
def _prepared(user: Owner, request: WritingRequest) -> Callable[[Channel], None]:
    from datacrumbs.daemon.writing import write_trace  # noqa: PLC0415
    from datacrumbs.trace.lines import load_library  # noqa: PLC0415

    load_library()
    if user.uid:
        privilege.become(user.uid, user.gid)
    else:
        privilege.become(NOBODY, NOBODY)
    confinement.change_no_files()
    return lambda channel: write_trace(channel, request)
