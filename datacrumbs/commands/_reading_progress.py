"""How far the reading of traces is, for those who wait for it."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from datacrumbs.output import Verbosity, terminal, verbosity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.progress import Progress

SHOWN_AFTER_SECONDS = 1.0


@contextmanager
def reading_progress(paths: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """Gives what is told of each number of bytes that have been read.

    It shows a bar on standard error, where that is a terminal and reading takes longer than a second.

    Args:
        paths: What will be read.
    """
    if verbosity() < Verbosity.NORMAL or not sys.stderr.isatty():
        yield lambda _size: None
        return
    begin, done = time.monotonic(), 0
    bars: list[Progress] = []

    def passed(size: int) -> None:
        nonlocal done
        done += size
        if not bars and time.monotonic() - begin > SHOWN_AFTER_SECONDS:
            bars.append(_bar(paths))
        for bar in bars:
            bar.update(bar.task_ids[0], completed=done)

    try:
        yield passed
    finally:
        for bar in bars:
            bar.stop()


# Loaded only where it is needed: most traces are read before.
def _bar(paths: Sequence[Path]) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    total = 0
    for path in paths:
        with suppress(OSError):
            total += path.stat().st_size
    bar = Progress(*columns, console=Console(file=terminal(sys.stderr)), transient=True)
    bar.add_task("", total=total)
    bar.start()
    return bar
