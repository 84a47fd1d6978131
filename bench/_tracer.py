"""What every tracer that is measured can do, and what it is given to trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be traced.

    Args:
        program: Name of the process; some tracers distinguish programs by it alone.
        system_calls: Kernel names.
        symbols: Library and function, entry and return.
    """

    program: str
    system_calls: tuple[str, ...]
    symbols: tuple[tuple[str, str], ...] = ()


class Tracer(Protocol):
    """A way to trace a command."""

    name: str
    available: bool

    def attached(self, work: Work) -> AbstractContextManager[None]:
        """What is there before the command starts and after it ended."""

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        """The command as this tracer starts it."""

    def seen(self) -> int | None:
        """Calls that it reported since it was attached, where that is known."""
