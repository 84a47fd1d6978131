"""What a report says, as data: tables of calls, the most expensive files, the conservation of calls."""

from __future__ import annotations

import errno as errno_names
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from datacrumbs.model.layers import LAYERS
from datacrumbs.report import PHASES, job_ranks
from datacrumbs.report.call_selection import ALL, CallSelection, first_moment
from datacrumbs.report.estimated_rows import estimated_rows, is_needed
from datacrumbs.report.exact_rows import TableShare, count_rows, exact_rows, exact_share, merged_rows
from datacrumbs.report.file_groups import GROUPS
from datacrumbs.report.nanoseconds import with_nanoseconds
from datacrumbs.report.nesting import Nesting, from_the_top, outermost
from datacrumbs.report.node_files import by_node
from datacrumbs.report.row_columns import of_no_calls
from datacrumbs.report.views import KEYS, LEAST_BYTES, PHASE, SCOPES, SIZE_CLASS, SIZES, of_view, phases_of
from datacrumbs.report.wide_columns import with_wide
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.notes import DEGRADED, LATE, NOT_PROBED
from datacrumbs.trace.ranks import Rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.report.views import Phases
    from datacrumbs.trace.reader import TraceFile, Traces

STRETCH_GAP_US = 200_000  # longer than the interval in which the guard decides
PARTS = ("entered", "recorded", "filtered", "counted", "unmatched", "in_flight")


def table(
    traces: Traces,
    calls: pl.LazyFrame,
    profiles: pl.DataFrame,
    view: str,
    limit: int | None = None,
    *,
    selection: CallSelection = ALL,
    nesting: Nesting | None = None,
    wide: bool = False,
) -> list[dict[str, Any]]:
    """One row per function, file, channel, process, rank, node, layer or kind of error, the most time first.

    What is inside another call that the row or its layer counts is not counted again, see `outermost`; a row of a
    function or a layer has the number of such calls as ``nested``.

    Args:
        traces: Where the calls come from.
        calls: The lines to be in it.
        profiles: The calls that were added up, likewise.
        view: What a row is, of `datacrumbs.report.VIEWS`; or ``failure``, a kind of error of a file.
        limit: How many rows at most.
        selection: By which the calls were selected.
        nesting: Of the calls, where several tables need it; what it lacks is found for this one.
        wide: Whether rows have the columns of `with_wide`, too, where each call has a line.

    Returns:
        Dicts with the view's own keys, ``layers`` (whose calls are added up) where the view has none, then count,
        nested, errors, bytes (None when unknown), time_us, p50_us, p90_us, p99_us, max_us (None when no end was seen),
        timed (calls of which the duration is known). Where not every call has a line, also ``approximate`` and
        ``margin``, see `estimated_rows`.
    """
    keys, scope = KEYS[view], SCOPES.get(view)
    phases = phases_of(calls, profiles) if view == "time" else None
    selected = calls
    calls, profiles = _of_view(traces, calls, profiles, view, selection, nesting=nesting)
    if is_needed(traces):
        names = selection.whole_functions
        rows = estimated_rows(traces, calls, profiles, keys, scope, names=names)
        rows.sort(key=lambda row: (-(row["time_us"] or 0), *(str(row[key]) for key in keys)))
        rows = rows[:limit]
    else:
        rows = exact_rows(traces, calls, keys, scope, limit, channels=view == "channel")
        rows = with_wide(traces, rows, selected, calls, view) if wide else rows
    if view in {"function", "layer"}:
        rows = with_nanoseconds(traces, rows)
    if view in GROUPS:
        rows = _with_files(traces, rows, _group_files([calls, profiles.lazy()], view), view)
    return _finished(traces, rows, limit, first_moment(traces), phases)


SUMMED_AS = {"layer": "function", "rank": "process", "node": "process"}
"""View -> the one whose shares have all that its rows are made of."""


def table_share(
    traces: Traces,
    calls: pl.LazyFrame,
    view: str,
    limit: int | None = None,
    *,
    selection: CallSelection = ALL,
    nesting: Nesting | None = None,
    phases: Phases | None = None,
) -> TableShare:
    """What `merged_table` makes rows of, from all files of some runs in which each call has a line.

    Args:
        traces: The runs.
        calls: The lines to be in it.
        view: What a row is.
        limit: How many rows at most will be shown of a table of files.
        selection: By which the calls were selected.
        nesting: Of the calls, see `table`.
        phases: Those of all runs, where the view is ``time``.
    """
    calls, _ = _of_view(traces, calls, traces.profiles, view, selection, nesting=nesting, phases=phases)
    share = exact_share(traces, calls, KEYS[view], SCOPES.get(view), limit, channels=view == "channel")
    return replace(share, files=_group_files([calls], view)) if view in GROUPS else share


def merged_table(
    traces: Traces,
    shares: Sequence[TableShare],
    view: str,
    limit: int | None,
    first: int,
    *,
    phases: Phases | None = None,
) -> list[dict[str, Any]] | None:
    """The rows that `table` gives of all traces.

    Args:
        traces: Numbered as those of the shares.
        shares: What `table_share` gave of their runs for the view, or for that of `SUMMED_AS`.
        view: What a row is.
        limit: How many rows at most.
        first: The beginning of the first call, epoch us.
        phases: As those of the shares.

    Returns:
        None where the shares are of a table with fewer rows.
    """
    shares = [_with_keys(traces, share, view) for share in shares]
    rows = merged_rows(traces, shares, KEYS[view], SCOPES.get(view), limit, channels=view == "channel")
    if rows is None:
        return None
    if view in {"function", "layer"}:
        rows = with_nanoseconds(traces, rows)
    if view in GROUPS:
        rows = _with_files(traces, rows, pl.concat(share.files for share in shares if share.files is not None), view)
    return _finished(traces, rows, limit, first, phases)


def number_of_merged_rows(traces: Traces, shares: Sequence[TableShare], view: str) -> int:
    """How many rows `merged_table` gives without a limit, of the same arguments."""
    shares = [_with_keys(traces, share, view) for share in shares]
    return count_rows(traces, shares, KEYS[view], channels=view == "channel")


# With what distinguishes rows, where the share is that of another view.
def _with_keys(traces: Traces, share: TableShare, view: str) -> TableShare:
    named = {"rank": job_ranks.with_ranks, "node": job_ranks.with_hosts}.get(view)
    if named is None:
        return share
    return replace(share, parts=named(traces, share.parts), durations=named(traces, share.durations))


def _finished(
    traces: Traces, rows: list[dict[str, Any]], limit: int | None, first: int, phases: Phases | None
) -> list[dict[str, Any]]:
    rows = [_readable(traces, row, first) for row in rows]
    return _with_beginnings(rows, phases.first - first, phases.width, all_of_them=limit is None) if phases else rows


# The calls and profiles of a view, and how each call counts.
def _of_view(
    traces: Traces,
    calls: pl.LazyFrame,
    profiles: pl.DataFrame,
    view: str,
    selection: CallSelection,
    *,
    nesting: Nesting | None = None,
    phases: Phases | None = None,
) -> tuple[pl.LazyFrame, pl.DataFrame]:
    scope, estimated = SCOPES.get(view), is_needed(traces)
    if scope == "layer" or (scope == "process" and not estimated):
        # Before any are left out: those that are may be around others.
        calls = _nested(traces, calls, scope, nesting)
    calls, profiles = of_view(traces, calls, profiles, view, selection, phases=phases)
    if scope is None:
        calls = calls.with_columns(pl.lit(value=False).alias("within"), pl.col("bytes").alias("own_bytes"))
    if scope == "file" and not estimated:
        # Of groups of files, and of lines that are taken for their second files too, more is inside one another.
        calls = _nested(traces, calls, scope, None if view in GROUPS or traces.copies else nesting)
    return calls, profiles


def _nested(traces: Traces, calls: pl.LazyFrame, scope: str, nesting: Nesting | None) -> pl.LazyFrame:
    if nesting is None or scope not in nesting.scopes:
        return outermost(traces, calls, scope)
    return nesting.outermost(scope, calls)


# Rows of phases, each with its beginning; and those without any call, where all are wanted.
def _with_beginnings(rows: list[dict[str, Any]], first: int, width: int, *, all_of_them: bool) -> list[dict[str, Any]]:
    known = {row[PHASE]: row for row in rows}
    nothing = of_no_calls(rows[0]) if rows else {}
    numbers = range(PHASES) if rows and all_of_them else known
    return [
        {PHASE: number + 1, "from_us": first + number * width} | dict(list(known.get(number, nothing).items())[1:])
        for number in numbers
    ]


def _group_files(frames: Sequence[pl.LazyFrame], view: str) -> pl.DataFrame:
    place = [pl.col(view).cast(pl.String), "trace", "path"]
    return pl.concat([frame.select(place).unique() for frame in frames]).collect(engine="streaming")


# How many files each group has.
def _with_files(traces: Traces, rows: list[dict[str, Any]], every: pl.DataFrame, view: str) -> list[dict[str, Any]]:
    files = by_node(traces, every, channels=False).group_by(view).agg(pl.col("path").n_unique())
    number = dict(files.iter_rows())
    return [{view: row[view], "files": number[row[view]]} | row for row in rows]


def number_of_rows(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, view: str, selection: CallSelection = ALL
) -> int:
    """How many rows `table` gives without a limit, of the same arguments."""
    calls, profiles = of_view(traces, calls, profiles, view, selection)
    texts = [pl.col(key).cast(pl.String) for key in KEYS[view]]
    keys = [frame.select(texts).unique() for frame in (calls, profiles.lazy())]
    return int(pl.concat(keys).unique().select(pl.len()).collect(engine="streaming").item())


def conservation(trace: TraceFile) -> dict[str, Any] | None:
    """What became of every call of a run, or None when the trace has no footer.

    Returns:
        entered, recorded, filtered, counted, unmatched, in_flight, lost, lost_causes, causes (of filtered and counted),
        balanced, and ``losers``: the functions that lost calls.
    """
    if trace.footer is None:
        return None
    totals: dict[str, Any] = {part: trace.footer.get(part, 0) for part in PARTS}
    totals["lost_causes"] = {k[5:]: v for k, v in trace.footer.items() if k.startswith("lost_")}
    totals["causes"] = {k: v for k, v in trace.footer.items() if k.startswith(("filtered_", "counted_"))}
    totals["lost"] = trace.lost
    parts = sum(totals[part] for part in PARTS[1:]) + totals["lost"]
    totals["balanced"] = totals["entered"] == parts and all(_balanced(counts) for counts in trace.counts)
    losers = [{**counts, "lost": _lost(counts)} for counts in trace.counts if _lost(counts)]
    totals["losers"] = sorted(losers, key=lambda counts: (-counts["lost"], counts["name"]))
    return totals


def degraded(trace: TraceFile) -> list[dict[str, Any]]:
    """When functions were called too often and only counted; notes that follow each other are one stretch.

    Returns:
        In order of time: category, name, symbol, begin_us, end_us (epoch), calls.
    """
    stretches: list[dict[str, Any]] = []
    last: dict[tuple[str, ...], dict[str, Any]] = {}
    notes = [note for note in trace.notes if note.get("event") == DEGRADED and _is_stretch(note)]
    for note in sorted(notes, key=lambda note: int(note["begin"])):
        function = {key: note[key] for key in ("category", "name", "symbol")}
        stretch = last.get(tuple(function.values()))
        if stretch and note["begin"] - stretch["end_us"] <= STRETCH_GAP_US:
            stretch["end_us"] = max(stretch["end_us"], note["end"])
            stretch["calls"] += note["calls"]
        else:
            stretch = {**function, "begin_us": note["begin"], "end_us": note["end"], "calls": note["calls"]}
            last[tuple(function.values())] = stretch
            stretches.append(stretch)
    return stretches


def late_files(trace: TraceFile) -> list[dict[str, Any]]:
    """Files that were mapped during the run under other names than the plan has, in order of time.

    Returns:
        Notes ``probed_late`` and ``not_probed``; of the first, calls between ``begin`` and ``end`` may be missing.
    """
    notes = [note for note in trace.notes if note.get("event") in {LATE, NOT_PROBED}]
    whole = [note for note in notes if all(isinstance(note.get(key), int) for key in ("begin", "end"))]
    return sorted(whole, key=lambda note: (note["begin"], str(note.get("file"))))


def _is_stretch(note: dict[str, Any]) -> bool:
    texts = (note.get(key) for key in ("category", "name", "symbol"))
    numbers = (note.get(key) for key in ("begin", "end", "calls"))
    return all(isinstance(text, str) for text in texts) and all(isinstance(number, int) for number in numbers)


def _lost(counts: dict[str, Any]) -> int:
    return sum(value for key, value in counts.items() if key.startswith("lost_"))


def _balanced(counts: dict[str, Any]) -> bool:
    return bool(counts["entered"] == sum(counts.get(part, 0) for part in PARTS[1:]) + _lost(counts))


def _process(traces: Traces, process: tuple[int, int]) -> dict[str, Any]:
    about: dict[str, Any] = {"host": traces.files[process[0]].host, "process": traces.processes.get(process, "")}
    if traces.ranks:
        about["rank"] = traces.ranks.get(process, Rank()).rank
    return about


def _readable(traces: Traces, row: dict[str, Any], first: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in row.items():
        if key == "category":
            result["layer"] = LAYERS.get(value, value)
        elif key == "layers":
            result["layers"] = [LAYERS.get(each, each) for each in from_the_top(value)]
        elif key == "errno":
            result["error"] = errno_names.errorcode.get(value, str(value)) if value else "failed"
            result["meaning"] = os.strerror(value) if value else "no errno"
        elif key == "trace":
            result |= _process(traces, (value, row["pid"]))
        elif key == job_ranks.NUMBER:
            result["rank"] = value
        elif key == SIZE_CLASS:
            result["size"] = None if value is None else SIZES[value]
            result["least_bytes"] = None if value is None else LEAST_BYTES[value]
        elif key in {"begin_us", "end_us"}:
            result[key] = None if value is None else value - first
        else:
            result[key] = value
    if "trace" in row and traces.command_lines:
        result["command_line"] = traces.command_lines.get((row["trace"], row["pid"]))
    return result
