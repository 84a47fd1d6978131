"""How far a command is, where a person looks on."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from datacrumbs.output import printable, terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress_bar(verb: str) -> Iterator[Callable[[str, int, int], None]]:
    """Gives what is shown of each step: what is worked on, how many are done, of how many.

    The bar is on a terminal only, and on stderr: stdout may be a file that someone reads.
    """
    if not sys.stderr.isatty():
        yield lambda _label, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(file=terminal(sys.stderr), markup=False)
    if console.is_dumb_terminal:
        yield lambda _label, _done, _total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(verb, total=None)

        def progress(label: str, done: int, total: int) -> None:
            bars.update(task, description=printable(f"{verb} {label}".strip()), completed=done, total=total)

        yield progress
