"""The tables of a report over more traces than one machine has memory for, by dask.

Each run is looked at by itself, since no call of one is inside a call of another, and gives sums and how many calls
took how long. Both are whole numbers that are added up, so the rows are those that one process makes of all traces.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.report.call_selection import EPOCH_LIMIT, CallSelection, select
from datacrumbs.report.estimated_rows import is_needed
from datacrumbs.report.file_groups import GROUPS
from datacrumbs.report.job_ranks import node_rows
from datacrumbs.report.overlapping_traces import check_lives_apart, lives_of
from datacrumbs.report.summary import TableShare, merged_table, table_share
from datacrumbs.report.views import moments_of, phases_between
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.reader import TraceFile, Traces, read_traces
from datacrumbs.trace.writer import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from datacrumbs.report.views import Phases
    from datacrumbs.trace.ranks import Rank

Result = TypeVar("Result")

SCHEDULER = "DASK_SCHEDULER_ADDRESS"
"""Variable with the address of a dask cluster; without it the processors of this machine are used."""
_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class RunShare:
    """What the files of a run give; positions of traces are those among them."""

    files: list[TraceFile]
    processes: dict[tuple[int, int], str]
    ranks: dict[tuple[int, int], Rank]
    command_lines: dict[tuple[int, int], str]
    lives: pl.DataFrame
    tables: dict[str, TableShare]
    is_exact: bool


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
    traces = replace(read_traces(paths), several_nodes=extent.several_nodes)
    is_exact = not is_needed(traces)
    tables = {view: table_share(traces, selection, view, extent.phases) for view in views} if is_exact else {}
    about = traces.processes, traces.ranks, traces.command_lines
    return RunShare(traces.files, *about, lives_of(traces), tables, is_exact)


@dataclass(frozen=True, slots=True)
class WholeReport:
    """All runs together: ``traces`` without calls, and what `rows` makes tables of."""

    traces: Traces
    shares: dict[str, list[TableShare]]
    first: int
    extent: Extent

    def rows(self, view: str, limit: int | None) -> list[dict[str, Any]]:
        """The rows of a table."""
        phases = self.extent.phases if view == "time" else None
        rows = merged_table(self.traces, self.shares[view], view, limit, self.first, phases=phases)
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
    groups: dict[object, list[int]] = {}
    for position, path in enumerate(paths):
        groups.setdefault(_run_of(path) or position, []).append(position)
    work = [[paths[position] for position in group] for group in groups.values()]
    extent = _extent(work, selection) if {"time", *GROUPS} & set(views) else Extent()
    shares = _computed(run_share, [(group, selection, views, extent) for group in work])
    return _whole(list(groups.values()), shares, len(paths), views, extent)


def _extent(work: Sequence[Sequence[Path]], selection: CallSelection) -> Extent:
    found = _computed(run_extent, [(group, selection) for group in work])
    hosts = {host for hosts, _ in found for host in hosts}
    return Extent(len(hosts) > 1, phases_between(moment for _, moments in found for moment in moments))


def _whole(
    groups: list[list[int]], shares: list[RunShare], count: int, views: Sequence[str], extent: Extent
) -> WholeReport:
    files: list[TraceFile | None] = [None] * count
    processes: dict[tuple[int, int], str] = {}
    ranks: dict[tuple[int, int], Rank] = {}
    command_lines: dict[tuple[int, int], str] = {}
    tables: dict[str, list[TableShare]] = {view: [] for view in views}
    lives = []
    for places, share in zip(groups, shares, strict=True):
        if not share.is_exact:
            raise usage_error(
                f"{share.files[0].path}: not every call has a line (it was sampled or profiled)",
                "report such traces without --engine",
            )
        for place, file in zip(places, share.files, strict=True):
            files[place] = file
        processes |= {(places[trace], pid): name for (trace, pid), name in share.processes.items()}
        ranks |= {(places[trace], pid): rank for (trace, pid), rank in share.ranks.items()}
        command_lines |= {(places[trace], pid): text for (trace, pid), text in share.command_lines.items()}
        lives.append(_placed(share.lives, places))
        for view, table in share.tables.items():
            of_groups = None if table.files is None else _placed(table.files, places)
            tables[view].append(TableShare(_placed(table.parts, places), _placed(table.durations, places), of_groups))
    nothing = read_traces([])
    known = [file for file in files if file is not None]
    traces = replace(nothing, files=known, processes=processes, ranks=ranks, command_lines=command_lines)
    if count > 1:
        check_lives_apart(traces, pl.concat(lives))
    first = pl.concat(lives)["begin"].min()
    return WholeReport(traces, tables, first if isinstance(first, int) else 0, extent)


# With positions among all traces instead of those among a run's.
def _placed(frame: pl.DataFrame, places: list[int]) -> pl.DataFrame:
    if "trace" not in frame.columns:
        return frame
    return frame.with_columns(pl.col("trace").replace_strict(dict(enumerate(places)), return_dtype=pl.UInt32))


# Host, user and id of a file's run, from its first lines; None where it does not say.
def _run_of(path: Path) -> tuple[str, str, str] | None:
    try:
        with gzip.open(path) as stream:
            head = stream.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return None
    host = ""
    for text in head.split(b"\n")[1:]:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not isinstance(line, dict) or not isinstance(line.get("args"), dict):
            return None
        if line.get("name") == "HH":
            host = str(line["args"].get("name", ""))
        elif line.get("name") == RUN:
            run_id = str(line["args"].get("run_id", ""))
            return (host, str(line["args"].get("user", "")), run_id) if run_id else None
    return None


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
