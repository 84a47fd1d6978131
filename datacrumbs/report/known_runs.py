"""Runs that a report asks: what was found out before is given again, and traces are read for the rest.

What runs say of themselves and the sums of tables and comparisons are kept of each run, and put together for whichever
runs are asked about. What is found by looking at all of them, such as findings, is kept of just these runs together.
"""

from __future__ import annotations

import sys
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from datacrumbs.cache.inspected_files import looked_at, watched
from datacrumbs.errors import DatacrumbsError
from datacrumbs.report import FILES_OF_PAGE, PATTERN
from datacrumbs.report.exact_rows import TableShare
from datacrumbs.report.file_groups import GROUPS
from datacrumbs.report.findings.judging import Findings
from datacrumbs.report.findings.patterns import Patterns, rows_with_warnings
from datacrumbs.report.job_ranks import node_rows
from datacrumbs.report.nesting import runs
from datacrumbs.report.overlapping_traces import check_apart
from datacrumbs.report.page.figures import Figures
from datacrumbs.report.run_facts import (
    RunFacts,
    all_have_lines,
    divided_share,
    facts_of,
    files_by_run,
    placed_share,
    traces_of,
)
from datacrumbs.report.selected_calls import SelectedCalls
from datacrumbs.report.summary import SUMMED_AS, merged_table, number_of_merged_rows
from datacrumbs.report.summary_cache import files_state
from datacrumbs.report.views import Phases, phases_between
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from datacrumbs.report.summary_cache import State, SummaryCache
    from datacrumbs.trace.reader import Traces

    Runs = Sequence[Sequence[int]]

Kind = TypeVar("Kind")

MAIN_VIEWS = ("function", "file", "process", "channel", "failure", "error")
"""Those that take little more than the first two; with those that are summed up as they are."""


class KnownRuns:
    """All calls of some runs.

    Args:
        paths: Their traces.
        read: Gives some of them with their calls.
        cache: Where what is found out is kept.
        views: As `SelectedCalls` takes them; for `keep_tables`, too.
    """

    def __init__(
        self, paths: Sequence[Path], read: Callable[[Sequence[Path]], Traces], cache: SummaryCache, views: Sequence[str]
    ) -> None:
        self._paths, self._read_traces, self._cache, self._views = paths, read, cache, views
        self._runs = files_by_run(paths)
        self._states = [files_state(self._of(positions)) for positions in self._runs]
        self._first_states = list(self._states)
        self._shared: dict[str, list[TableShare]] = {}
        self._read_runs: dict[int, SelectedCalls] = {}

    @property
    def traces(self) -> Traces:
        """The traces, without their calls."""
        return self._facts[0]

    @property
    def lives(self) -> pl.DataFrame:
        """Of their processes, see `lives_of`."""
        return self._facts[1]

    def rows(self, view: str, limit: int | None) -> list[dict[str, Any]]:
        """The rows of a table, see `table`."""
        if view == PATTERN:
            return rows_with_warnings(self.patterns())
        if not self._is_exact:
            return self._read.rows(view, limit)
        rows = self._merged(view, limit)
        if rows is None:  # durations of fewer rows are kept
            self._shares(view, limit, again=True)
            rows = self._merged(view, limit) or []
        return node_rows(self.traces, rows) if view == "node" else rows

    def total(self, view: str) -> int:
        """How many rows the table has without a limit."""
        if not self._is_exact:
            return self._read.total(view)
        return number_of_merged_rows(self.traces, self._shares(view, 0), view)

    def patterns(self) -> Patterns:
        """In which order files were read and written."""
        return self._of_all(Patterns, "patterns", SelectedCalls.patterns)

    def findings(self) -> Findings:
        """What the rules say, those of installed providers too."""
        # Which providers are installed depends on the environment; what is kept is there for all of a user's.
        python = [sys.version, sys.executable, sys.prefix, sys.path]
        return self._of_all(Findings, ["findings", python], SelectedCalls.findings)

    def figures(self, *, patterns: bool) -> Figures:
        """What a page draws."""
        return self._of_all(Figures, f"figures {patterns}", lambda calls: calls.figures(patterns=patterns))

    def function_sums(self) -> list[pl.DataFrame]:
        """Of each run, for comparisons."""
        return self._of_each(pl.DataFrame, ["functions"], lambda calls, _: calls.function_sums())

    def keep_tables(self) -> None:
        """Keep what is needed for all of the views, if traces had to be read: then it takes little more."""
        if "_read" in vars(self) and self._state and self._cache.directory:
            for view in self._views:
                self._shares(view, 0)

    @cached_property
    def _read(self) -> SelectedCalls:
        calls = self._selected(range(len(self._runs)))
        actual = _by_run(calls.traces)
        if actual != self._runs or not _lasts(calls):
            self._runs, self._states = actual, [None] * len(actual)
        return calls

    # The same of one run alone, where others are known.
    def _read_run(self, number: int) -> SelectedCalls:
        if number not in self._read_runs:
            calls = self._selected([number])
            if not _lasts(calls):
                self._states[number] = None
            self._read_runs[number] = calls
        return self._read_runs[number]

    # Reads runs, which must still be those of which something may have been taken.
    def _selected(self, numbers: Sequence[int]) -> SelectedCalls:
        files = sorted(chain(*(self._runs[number] for number in numbers)))
        calls = SelectedCalls(self._read_traces(self._of(files)), views=self._views)
        for number in numbers:
            state, paths = self._first_states[number], self._of(self._runs[number])
            if state and "_facts" in vars(self) and files_state(paths) != state:
                raise DatacrumbsError(f"{paths[0]}: changed while it was read", hint="run the report again")
        return calls

    @cached_property
    def _facts(self) -> tuple[Traces, pl.DataFrame]:
        def found(calls: SelectedCalls, runs: Runs) -> list[RunFacts]:
            return facts_of(calls.traces, calls.lives, runs)

        facts = self._of_each(RunFacts, ["facts"], found)
        traces, lives = traces_of(facts, self._runs)
        if _by_run(traces) != self._runs:  # their first lines said something else
            facts = found(self._read, self._runs)
            traces, lives = traces_of(facts, self._runs)
        for file, path in zip(traces.files, self._paths, strict=True):
            file.path = path
        if len(self._paths) > 1:
            check_apart(traces, lives)
        return traces, lives

    @property
    def _is_exact(self) -> bool:
        return all_have_lines(self.traces.files)

    @property
    def _phases(self) -> Phases:
        return phases_between([self.lives["begin"].min(), self.lives["last"].max()])

    def _merged(self, view: str, limit: int | None) -> list[dict[str, Any]] | None:
        first = self.lives["begin"].min()
        phases = self._phases if view == "time" else None
        shares = self._shares(view, limit)
        return merged_table(self.traces, shares, view, limit, first if isinstance(first, int) else 0, phases=phases)

    # Of each run. What is summed up now of a table of files has the durations of at least `limit` rows.
    def _shares(self, view: str, limit: int | None, *, again: bool = False) -> list[TableShare]:
        view = SUMMED_AS.get(view, view)
        if view not in self._shared or again:
            phases = self._phases if view == "time" else None
            several = view in GROUPS and len({file.host for file in self.traces.files}) > 1
            most = None if limit is None else max(limit, FILES_OF_PAGE + 1)

            def found(calls: SelectedCalls, runs: Runs) -> list[TableShare]:
                calls.traces.several_nodes |= several  # beside those that are read now
                return divided_share(calls.share(view, most, phases), runs)

            shares = self._of_each(TableShare, ["table", view, phases, several], found, again=again)
            self._shared[view] = [
                placed_share(share, positions) for share, positions in zip(shares, self._runs, strict=True)
            ]
        return self._shared[view]

    def _of_each(
        self,
        kind: type[Kind],
        what: list[object],
        find: Callable[[SelectedCalls, Runs], list[Kind]],
        *,
        again: bool = False,
    ) -> list[Kind]:
        known = {} if again else self._taken(kind, what)
        lacking = [number for number in range(len(self._runs)) if number not in known]
        # What may still be written is read once, together with all others.
        if len(lacking) == len(self._runs) or (lacking and ("_read" in vars(self) or None in self._first_states)):
            found = dict(enumerate(find(self._read, self._runs)))
        else:
            found = {}
            for number in lacking:
                (found[number],) = find(self._read_run(number), [range(len(self._runs[number]))])
        for number, value in found.items():
            self._cache.keep(what, self._states[number], self._of(self._runs[number]), value)
        known |= found
        return [known[number] for number in range(len(self._runs))]

    # Number of a run -> its value, of those of which it is known.
    def _taken(self, kind: type[Kind], what: list[object]) -> dict[int, Kind]:
        found = ((number, self._cache.taken(kind, what, state)) for number, state in enumerate(self._states))
        return {number: value for number, value in found if value is not None}

    def _of_all(self, kind: type[Kind], what: object, find: Callable[[SelectedCalls], Kind]) -> Kind:
        kept = self._cache.taken(kind, [what, self._runs], self._state)
        if kept is not None:
            return kept
        calls = self._read
        with watched(self._cache.directory) as looking:  # rules are code of whichever providers are installed
            looked_at(*filter(None, sys.path))
            found = find(calls)
        self._cache.keep([what, self._runs], self._state, self._of(chain(*self._runs)), found, looking)
        return found

    def _of(self, positions: Iterable[int]) -> list[Path]:
        return [self._paths[position] for position in positions]

    @property
    def _state(self) -> State | None:
        known = [state for state in self._states if state is not None]
        return [*chain(*known)] if len(known) == len(self._states) else None


# Whether answers can be kept: each call has a line, and no process writes a trace any more.
def _lasts(calls: SelectedCalls) -> bool:
    return not calls.is_estimated and all(file.closed for file in calls.traces.files)


# Of each run the positions of its files.
def _by_run(traces: Traces) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for position, first in enumerate(runs(traces)):
        found.setdefault(first, []).append(position)
    return list(found.values())
