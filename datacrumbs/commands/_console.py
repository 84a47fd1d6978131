"""Where tables go: stdout, as wide as the terminal, and wide enough to read in a file or pipe."""

from __future__ import annotations

from rich.console import Console

_WIDTH = 120  # columns where there is no terminal that has some


def table_console() -> Console:
    """A console for tables on stdout; markup in what is printed is on."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)
