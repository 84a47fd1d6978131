"""What tables and pages ask of the calls that they are about, wherever the answers come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from datacrumbs.report.page.figures import Figures
    from datacrumbs.trace.dataframes import pl
    from datacrumbs.trace.reader import Traces


class AskedCalls(Protocol):
    """For tables."""

    @property
    def traces(self) -> Traces:
        """Where the calls come from; perhaps without these."""

    @property
    def lives(self) -> pl.DataFrame:
        """Of all processes, see `lives_of`."""

    def rows(self, view: str, limit: int | None) -> list[dict[str, Any]]:
        """The rows of a table, the most time first, at most ``limit``."""


class DrawnCalls(AskedCalls, Protocol):
    """For pages."""

    def total(self, view: str) -> int:
        """How many rows a table has without a limit."""

    def figures(self, *, patterns: bool) -> Figures:
        """What is drawn, with the order in which files were read and written if that is asked for."""
