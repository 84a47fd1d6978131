"""The end of a run takes a bounded time, however slow the disk, and whatever the process that writes does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from datacrumbs.daemon.messages import Written
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.daemon.writer_process import WriterProcess

STOP_SECONDS = 90.0
"""From the signal on; the unit's TimeoutStopSec is longer, or systemd would end what still writes its footer."""
FOOTER_SECONDS = 30.0
"""The last of them, in which nothing but the footer is written: what is left by then is lost and counted."""
SEAL_SECONDS = 15.0
"""Beyond them, for the seal: to read the trace of a run that took its whole time to end."""
_TICK = 0.25


class Ending:
    """The time from the moment on when a run is to end.

    Args:
        seconds: How long it may take in all, `FOOTER_SECONDS` of it for the footer.
    """

    def __init__(self, seconds: float = STOP_SECONDS) -> None:
        self._deadline = time.monotonic() + seconds

    @property
    def writing_seconds(self) -> float:
        """How long the process that writes may still write calls."""
        return max(0.0, self._deadline - FOOTER_SECONDS - time.monotonic())

    @property
    def sealing_seconds(self) -> float:
        """How long the trace may be read for its seal."""
        return max(0.0, self._deadline + SEAL_SECONDS - time.monotonic())

    def answer(self, writer: WriterProcess, stopped_again: Callable[[], bool]) -> Written:
        """What the process that writes says when the trace is complete.

        Raises:
            DatacrumbsError: It is gone, takes too long, or the daemon was stopped again.
        """
        while True:
            answer = writer.receive(_TICK)
            if answer and isinstance(answer.message, Written):
                return answer.message
            if stopped_again():
                raise DatacrumbsError(
                    "stopped again before the trace was complete", hint="what has been written is readable"
                )
            if time.monotonic() >= self._deadline:
                raise DatacrumbsError(
                    "the process that writes the trace did not finish in time and was ended",
                    hint="what has been written is readable; is the file system slow, or was the process stopped?",
                )
