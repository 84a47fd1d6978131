"""How far the reading of traces is, for those who wait for it."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from datacrumbs.output import Verbosity, terminal, verbosity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from rich.progress import Progress

SHOWN_AFTER_SECONDS = 1.0


class ReadingProgress:
    """A bar on standard error, where that is a terminal and reading takes longer than a second.

    Args:
        paths: What will be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._begin = time.monotonic()
        self._passed = 0
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def passed(self, size: int) -> None:
        """This many more bytes have been read."""
        self._passed += size
        if self._bar is None and self._is_due():
            self._show()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=self._passed)

    def _is_due(self) -> bool:
        wanted = verbosity() >= Verbosity.NORMAL and sys.stderr.isatty()
        return wanted and time.monotonic() - self._begin > SHOWN_AFTER_SECONDS

    # Loaded only where it is needed: most traces are read before.
    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        total = 0
        for path in self._paths:
            with suppress(OSError):
                total += path.stat().st_size
        self._bar = Progress(*columns, console=Console(file=terminal(sys.stderr)), transient=True)
        self._bar.add_task("", total=total)
        self._bar.start()
