"""Selections that leave no call: which part of them does, and what there is in its place."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from datacrumbs.output import counted, first_few, printable
from datacrumbs.report.call_selection import ALL, EPOCH_LIMIT, CallSelection, first_moment, select, select_profiles
from datacrumbs.report.human_readable import moment
from datacrumbs.report.job_ranks import ranges
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from datacrumbs.trace.reader import Traces

_OPTIONS = {
    "names": "--name",
    "paths": "--path",
    "not_paths": "--not-path",
    "pids": "--pid",
    "ranks": "--rank",
    "since": "--since",
    "until": "--until",
}
"""Fields of a selection -> the option of each."""


def left_by(selection: CallSelection) -> str:
    """That no call is left by a selection; empty where it selects nothing."""
    options = [_OPTIONS[name] for name in _given(selection)]
    return f"no call is left by {' and '.join(options)}" if options else ""


def why_empty(traces: Traces, selection: CallSelection) -> str:
    """Why a selection leaves no call of traces that have some; empty where it leaves one."""
    given = _given(selection)
    if not given or _leaves(traces, selection) or not _leaves(traces, ALL):
        return ""
    for name in given:
        alone = replace(ALL, **{name: getattr(selection, name)})
        if not _leaves(traces, alone):
            return _reason(traces, name, alone)
    return f"{left_by(selection)} together; each of them alone leaves some"


def _given(selection: CallSelection) -> list[str]:
    return [each.name for each in fields(selection) if getattr(selection, each.name) != getattr(ALL, each.name)]


def _leaves(traces: Traces, selection: CallSelection) -> bool:
    if len(select_profiles(traces, selection)):
        return True
    return bool(len(select(traces, selection).select("ts").head(1).collect()))


def _reason(traces: Traces, name: str, selection: CallSelection) -> str:
    option, there = _OPTIONS[name], ""
    wanted = getattr(selection, name)
    some = first_few([printable(str(value)) for value in wanted]) if isinstance(wanted, tuple) else ""
    if name == "ranks":
        known = {rank.rank for rank in traces.ranks.values() if rank.rank is not None}
        there = f"ranks: {ranges(known)}" if known else "no process is known to be a rank"
        return f"{option}: no call is of rank {some}; {there}"
    if name == "pids":
        pids = sorted(_values(traces, "pid"), key=int)
        return f"{option}: no call is of process {some}; processes: {first_few(pids, 8)}"
    if name == "names":
        names = _texts(traces, "name")
        return f"{option}: no call is of a function {some}; {counted(len(names), 'function')}: {first_few(names, 8)}"
    if name == "paths":
        paths = _texts(traces, "path")
        there = f"{counted(len(paths), 'file')}: {first_few(paths)}" if paths else "no call is on a file that is known"
        return f"{option}: no call is on a file {some}; {there}"
    if name == "not_paths":
        return f"{option}: all calls are on files that it leaves out"
    return f"{option}: no call {'ends at or after' if name == 'since' else 'begins at or before'} it; {_times(traces)}"


def _values(traces: Traces, column: str) -> pl.Series:
    values = traces.calls.select(pl.col(column).cast(pl.String).unique()).collect().to_series()
    return pl.concat([values, traces.profiles[column].cast(pl.String)]).drop_nulls().unique()


def _texts(traces: Traces, column: str) -> list[str]:
    return [printable(value) for value in sorted(_values(traces, column))]


def _times(traces: Traces) -> str:
    first = first_moment(traces)
    ends = (traces.calls.select(pl.col("end").max()).collect().item(), traces.profiles["end"].max())
    last = max(end for end in ends if isinstance(end, int))
    at = f", from epoch microsecond {first} on" if first >= EPOCH_LIMIT else ""
    return f"the calls are in the {moment(last - first)} after the first one began{at}"
