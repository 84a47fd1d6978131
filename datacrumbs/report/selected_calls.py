"""Calls that were read, and what a report asks of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from datacrumbs.report import PATTERN, comparing
from datacrumbs.report.call_selection import ALL, select_profiles, selecting
from datacrumbs.report.estimated_rows import is_needed
from datacrumbs.report.findings.judging import find
from datacrumbs.report.findings.patterns import access_patterns, rows_with_warnings
from datacrumbs.report.findings.provider_rules import provider_rules
from datacrumbs.report.job_ranks import node_rows
from datacrumbs.report.nesting import Nesting
from datacrumbs.report.overlapping_traces import lives_of
from datacrumbs.report.page.figures import figures
from datacrumbs.report.summary import number_of_rows, table, table_share
from datacrumbs.report.views import SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from datacrumbs.report.call_selection import CallSelection
    from datacrumbs.report.exact_rows import TableShare
    from datacrumbs.report.findings.judging import Findings
    from datacrumbs.report.findings.patterns import Patterns
    from datacrumbs.report.page.figures import Figures
    from datacrumbs.report.views import Phases
    from datacrumbs.trace.dataframes import pl
    from datacrumbs.trace.reader import Traces


class SelectedCalls:
    """The calls that a selection leaves, which are looked at for each answer.

    Args:
        traces: Where they come from.
        selection: Which ones.
        views: Tables that will be asked for: for all of them at once it is found what is inside what.
        wide: Whether rows have the columns of `with_wide`, too.
    """

    def __init__(
        self, traces: Traces, selection: CallSelection = ALL, views: Iterable[str] = (), *, wide: bool = False
    ) -> None:
        self.traces, self._selection, self._views, self._wide = traces, selection, tuple(views), wide

    @cached_property
    def calls(self) -> pl.LazyFrame:
        """Those with lines."""
        return self._selected(self.traces.calls)

    @cached_property
    def _selected(self) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
        return selecting(self.traces, self._selection)

    def _near(self, begin: int, end: int, files: Collection[int] | None) -> pl.LazyFrame:
        return self._selected(self.traces.near(begin, end, files))

    @cached_property
    def profiles(self) -> pl.DataFrame:
        """Those that were added up."""
        return select_profiles(self.traces, self._selection)

    @cached_property
    def lives(self) -> pl.DataFrame:
        """Of all processes, see `lives_of`."""
        return lives_of(self.traces)

    @cached_property
    def _nesting(self) -> Nesting:
        scopes = [SCOPES[view] for view in self._views if SCOPES.get(view)]
        # Where calls were added up, more is not known.
        known = [scope for scope in scopes if scope == "layer" or not self.is_estimated]
        return Nesting(self.traces, self.calls, known, self._near)

    @cached_property
    def is_estimated(self) -> bool:
        """Whether not every call has a line."""
        return is_needed(self.traces)

    def rows(self, view: str, limit: int | None) -> list[dict[str, Any]]:
        """The rows of a table, see `table`."""
        if view == PATTERN:
            return rows_with_warnings(self.patterns())
        rows = table(
            self.traces,
            self.calls,
            self.profiles,
            view,
            limit,
            selection=self._selection,
            nesting=self._nesting,
            wide=self._wide,
        )
        return node_rows(self.traces, rows) if view == "node" else rows

    def share(self, view: str, limit: int | None, phases: Phases | None) -> TableShare:
        """What they give to a table, see `table_share`."""
        return table_share(
            self.traces, self.calls, view, limit, selection=self._selection, nesting=self._nesting, phases=phases
        )

    def total(self, view: str) -> int:
        """How many rows the table has without a limit."""
        return number_of_rows(self.traces, self.calls, self.profiles, view, self._selection)

    def patterns(self) -> Patterns:
        """In which order files were read and written."""
        return access_patterns(self.traces, self.calls, self._near)

    def findings(self) -> Findings:
        """What the rules say, those of installed providers too."""
        foreign, failed = provider_rules()
        findings = find(self.traces, self.calls, self._selection, foreign, self._near)
        findings.not_judged += failed
        return findings

    def function_sums(self) -> list[pl.DataFrame]:
        """Of each run, for comparisons."""
        return comparing.function_sums(self.traces, self.calls)

    def figures(self, *, patterns: bool) -> Figures:
        """What a page draws."""
        return figures(self.traces, self.calls, self.profiles, self._nesting, self._near, patterns=patterns)
