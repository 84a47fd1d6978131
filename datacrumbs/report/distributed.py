"""The tables of a report over more traces than one machine has memory for, by dask.

Each run is looked at by itself, since no call of one is inside a call of another, and gives sums and how many calls
took how long. Both are whole numbers that are added up, so the rows are those that one process makes of all traces.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.report.call_selection import EPOCH_LIMIT, CallSelection, select
from datacrumbs.report.file_groups import GROUPS
from datacrumbs.report.job_ranks import node_rows
from datacrumbs.report.overlapping_traces import check_apart
from datacrumbs.report.run_facts import RunFacts, facts_of, files_by_run, placed_share, traces_of
from datacrumbs.report.selected_calls import SelectedCalls
from datacrumbs.report.summary import SUMMED_AS, merged_table
from datacrumbs.report.views import moments_of, phases_between
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from datacrumbs.report.exact_rows import TableShare
    from datacrumbs.report.views import Phases
    from datacrumbs.trace.dataframes import pl
    from datacrumbs.trace.reader import Traces

Result = TypeVar("Result")

SCHEDULER = "DASK_SCHEDULER_ADDRESS"
"""Variable with the address of a dask cluster; without it the processors of this machine are used."""


@dataclass(frozen=True, slots=True)
class RunShare:
    """What the files of a run give; positions of traces are those among them."""

    facts: RunFacts
    tables: dict[str, TableShare]


@dataclass(frozen=True, slots=True)
class Extent:
    """What tables of groups of files and of time need to know of all runs before the first is summed up.

    Args:
        several_nodes: Whether they are of several nodes.
        phases: Their parts.
    """

    several_nodes: bool = False
    phases: Phases | None = None


def run_extent(paths: Sequence[Path], selection: CallSelection) -> tuple[set[str], tuple[Any, Any]]:
    """Read a run for its nodes, and when the first and the last of its calls begin; what a worker does.

    Raises:
        DatacrumbsError: as `read_traces`.
    """
    traces = read_traces(paths)
    return {file.host for file in traces.files}, moments_of(select(traces, selection))


def run_share(
    paths: Sequence[Path], selection: CallSelection, views: Sequence[str], extent: Extent = Extent()
) -> RunShare:
    """Read a run and sum it up; what a worker does.

    Raises:
        DatacrumbsError: as `read_traces`.
    """
    traces = read_traces(paths)
    traces.several_nodes = extent.several_nodes
    calls = SelectedCalls(traces, selection, views)
    (facts,) = facts_of(traces, calls.lives, [range(len(paths))])
    tables = {view: calls.share(view, None, extent.phases) for view in views} if facts.is_exact else {}
    return RunShare(facts, tables)


@dataclass(frozen=True, slots=True)
class WholeReport:
    """All runs together: ``traces`` without calls, `lives_of` their processes, and what `rows` makes tables of."""

    traces: Traces
    lives: pl.DataFrame
    shares: dict[str, list[TableShare]]
    first: int
    extent: Extent

    def rows(self, view: str, limit: int | None) -> list[dict[str, Any]]:
        """The rows of a table."""
        phases = self.extent.phases if view == "time" else None
        shares = self.shares[SUMMED_AS.get(view, view)]
        rows = merged_table(self.traces, shares, view, limit, self.first, phases=phases) or []
        return node_rows(self.traces, rows) if view == "node" else rows


def read_distributed(paths: Sequence[Path], selection: CallSelection, views: Sequence[str]) -> WholeReport:
    """Read traces run by run, on all processors or on a dask cluster.

    Args:
        paths: Trace files, which all workers must be able to read.
        selection: Which calls the tables are about.
        views: Which tables.

    Raises:
        DatacrumbsError: (exit 2) as `read_traces`; for traces in which not every call has a line, which only one
            process can estimate together; for moments that count from the first call.
    """
    moments = (selection.since, selection.until)
    if any(moment is not None and moment < EPOCH_LIMIT for moment in moments):
        raise usage_error("with --engine, --since and --until take epoch microseconds")
    groups = files_by_run(paths)
    work = [[paths[position] for position in group] for group in groups]
    views = list(dict.fromkeys(SUMMED_AS.get(view, view) for view in views))
    extent = _extent(work, selection) if {"time", *GROUPS} & set(views) else Extent()
    shares = _computed(run_share, [(group, selection, views, extent) for group in work])
    return _whole(groups, shares, extent)


def _extent(work: Sequence[Sequence[Path]], selection: CallSelection) -> Extent:
    found = _computed(run_extent, [(group, selection) for group in work])
    hosts = {host for hosts, _ in found for host in hosts}
    return Extent(len(hosts) > 1, phases_between(moment for _, moments in found for moment in moments))


def _whole(groups: list[list[int]], shares: list[RunShare], extent: Extent) -> WholeReport:
    for share in shares:
        if not share.facts.is_exact:
            raise usage_error(
                f"{share.facts.files[0].path}: not every call has a line (it was sampled or profiled)",
                "report such traces without --engine",
            )
    traces, lives = traces_of([share.facts for share in shares], groups)
    if len(traces.files) > 1:
        check_apart(traces, lives)
    tables = {
        view: [placed_share(share.tables[view], places) for places, share in zip(groups, shares, strict=True)]
        for view in shares[0].tables
    }
    first = lives["begin"].min()
    return WholeReport(traces, lives, tables, first if isinstance(first, int) else 0, extent)


# dask is an extra, and large: it is imported where it is asked for.
def _computed(function: Callable[..., Result], tasks: list[tuple[Any, ...]]) -> list[Result]:
    with _extra():
        dask = import_module("dask")
    delayed = [dask.delayed(function)(*task) for task in tasks]
    address = os.environ.get(SCHEDULER)
    if not address:
        return list(dask.compute(*delayed, scheduler="processes"))
    with _extra():
        distributed = import_module("distributed")
    with distributed.Client(address) as client:
        return list(client.gather(client.compute(delayed)))


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise DatacrumbsError(
            f"--engine dask needs the Python package {error.name}", hint="pip install 'datacrumbs[dask]'"
        ) from None
