"""The end of a recording before its command runs: by the user, who has had enough."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from datacrumbs.session.foreground import ENDING, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class Interrupted(Exception):  # noqa: N818 - not a mistake
    """The user has had enough before the command ran."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def interruptible(stopping: Collection[signal.Signals]) -> Iterator[None]:
    """What is sent to this process ends or stops it at once, while a service is asked, which may take its time.

    Args:
        stopping: The signals that stop it.

    Raises:
        Interrupted: By one that ends it.
    """

    def interrupt(number: int, _frame: object) -> None:
        raise Interrupted(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, interrupt)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*heard, *stopping})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for number in heard:
            signal.signal(number, before[number])
