"""Regular expressions from site files, with a bound on their size and on the time they take."""

from __future__ import annotations

import re
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from datacrumbs.errors import DatacrumbsError
    from datacrumbs.secure.document import Value

LENGTH_LIMIT = 4096
"""Characters of an expression."""
TIME_LIMIT = 10.0
"""Seconds of processor time that one expression may take over all symbols of a target."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled expression and its place in the site file.

    It must match a whole symbol, whatever its case, as in the reference system's site files.
    """

    where: Value
    expression: re.Pattern[str]

    def select(self, symbols: Iterable[str]) -> frozenset[str]:
        """Those of ``symbols`` that match.

        Raises:
            DatacrumbsError: (exit 2) when matching takes more than `TIME_LIMIT`.
        """
        error = self.where.error(
            f"takes more than {TIME_LIMIT:.0f} s of processor time to match",
            "an expression without nested repetition such as (a+)+",
        )
        with _time_limit(TIME_LIMIT, error):
            return frozenset(symbol for symbol in symbols if self.expression.fullmatch(symbol))


def compile_pattern(where: Value) -> Pattern:
    """The expression at ``where``.

    Raises:
        DatacrumbsError: (exit 2) for one that is no valid expression or longer than `LENGTH_LIMIT`.
    """
    text = where.text()
    if len(text) > LENGTH_LIMIT:
        where.fail(f"{len(text)} characters long", f"at most {LENGTH_LIMIT}")
    try:
        return Pattern(where, re.compile(text, re.IGNORECASE))
    except (re.error, OverflowError, RecursionError) as error:
        where.fail(
            f"not a valid regular expression: {error}",
            "a Python regular expression that matches a whole symbol, such as 'H5D.*'",
        )


# The re module looks for signals while it matches, so an alarm can end a match that would take
# for ever. Only the main thread may set one; elsewhere there is no bound.
@contextmanager
def _time_limit(seconds: float, error: DatacrumbsError) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise error

    previous = signal.signal(signal.SIGVTALRM, expire)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
