"""Asking a service again that could not answer, as its clients do."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.errors import DatacrumbsError

BUSY = "service.busy"
"""Code of the refusal after which a client may ask again."""
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 2.0
_Answer = TypeVar("_Answer")


class PassingError(Exception):
    """What may go well the next time, and the error where it does not."""

    def __init__(self, error: DatacrumbsError) -> None:
        super().__init__(error.message)
        self.error = error


def patiently(ask: Callable[[], _Answer], seconds: float) -> _Answer:
    """What a service answers; one that is busy, or dies under the request, is asked again.

    Args:
        ask: Raises a `PassingError` where it is to be asked again.
        seconds: For how long.

    Raises:
        DatacrumbsError: That of the last `PassingError`.
    """
    end = time.monotonic() + seconds
    delay = _FIRST_DELAY
    while True:
        try:
            return ask()
        except PassingError as passing:
            if time.monotonic() + delay > end:
                raise passing.error from None
        time.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - so that many clients do not ask in step
        delay = min(delay * 2, _LONGEST_DELAY)
