"""Where tables go: stdout, as wide as the terminal, and as wide as they are in a file or pipe."""

from __future__ import annotations

import os
import shutil
import sys

from rich.console import Console

from datacrumbs.output import terminal

_UNLIMITED = 100_000  # columns where there is no terminal: nothing is folded


def table_console() -> Console:
    """A console on stdout that takes no markup: what it prints may be named by strangers."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return Console(
        file=terminal(sys.stdout),
        color_system=None if plain or not sys.stdout.isatty() else "auto",
        emoji=False,
        highlight=False,
        markup=False,
        soft_wrap=False,
        width=terminal_width() or _UNLIMITED,
    )


def terminal_width() -> int | None:
    """Columns of the terminal on stdout; None where there is none, or where it does not say."""
    return (shutil.get_terminal_size((0, 0)).columns or None) if sys.stdout.isatty() else None
