"""What a report says, as data: tables of calls, the most expensive files, the conservation of calls."""

from __future__ import annotations

import errno as errno_names
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import usage_error
from datacrumbs.quantities import SECOND, duration
from datacrumbs.report import job_ranks
from datacrumbs.report.estimates import estimated_rows, is_needed
from datacrumbs.report.exact import exact_rows, exact_share, merged_rows
from datacrumbs.report.nanoseconds import with_nanoseconds
from datacrumbs.report.nesting import LAYERS, SECOND_FILE, from_the_top, outermost
from datacrumbs.report.nodes import by_node
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.notes import DEGRADED, LATE, NOT_PROBED
from datacrumbs.trace.ranks import Rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from datacrumbs.trace.reader import TraceFile, Traces

KEYS = {
    "function": ["category", "name"],
    "file": ["path"],
    "channel": ["path"],
    "process": ["trace", "pid"],
    "rank": [job_ranks.JOB, job_ranks.STEP, job_ranks.NUMBER],
    "node": [job_ranks.HOST],
    "layer": ["category"],
    "error": ["errno", "category", "name"],
    "failure": ["path", "errno", "category", "name"],
}
SCOPES = {"function": "layer", "layer": "layer", "file": "file", "channel": "file"}
SCOPES |= dict.fromkeys(("process", "rank", "node"), "process")
"""View -> what its sums must not count twice, see `outermost`."""
CHANNEL = r"^(?:[a-z_]+:\[|anon_inode:|socket:|pipe:|/dev/(?:pts/|tty|pty|ptmx|console|hvc))"
"""Names of pipes, sockets, terminals and other things that programs wait on and that are no files."""
STRETCH_GAP_US = 200_000  # longer than the interval in which the guard decides
EPOCH_LIMIT = 10**14  # a number above it is epoch microseconds: as seconds of a run it would be three million years
PARTS = ("entered", "recorded", "filtered", "counted", "unmatched", "in_flight")


@dataclass(frozen=True, slots=True)
class CallSelection:
    """Which calls a report is about.

    Args:
        names: Globs of function names; any must match; empty for all.
        paths: Globs of file paths; empty for all.
        pids: Process ids; empty for all.
        ranks: Numbers of ranks; empty for all.
        since: First moment, us after the first call, or epoch us; calls that reach into it count.
        until: Last moment, likewise.
    """

    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()
    since: int | None = None
    until: int | None = None

    @property
    def whole_functions(self) -> tuple[str, ...] | None:
        """The globs of names where nothing else selects, so that a function has all of its calls or none."""
        other = self.paths or self.pids or self.ranks or self.since is not None or self.until is not None
        return None if other else self.names


def parse_moment(text: str) -> int:
    """A moment from the command line, in us: ``1.5`` or ``1.5s`` (seconds), ``1500us``, ``5m``, epoch us.

    Raises:
        DatacrumbsError: (exit 2) when it is no number.
    """
    number = text.removesuffix("us").removesuffix("s")
    if number.isdecimal() and number.isascii() and len(number) <= 20 and int(number) >= EPOCH_LIMIT:
        return int(number)
    if text.startswith("-"):
        raise usage_error(f"{text!r} is before the first call; expected a positive number")
    try:
        return round(duration(text, SECOND) / 1000)
    except ValueError:
        raise usage_error(f"{text!r} is not a time; expected seconds (1.5), 1500us, 5m or epoch microseconds") from None


def check_order(since: int | None, until: int | None) -> None:
    """Refuse a selection of nothing.

    Raises:
        DatacrumbsError: (exit 2) The first moment is behind the last, as far as both are of one kind.
    """
    if since is not None and until is not None and since > until and (since >= EPOCH_LIMIT) == (until >= EPOCH_LIMIT):
        raise usage_error("--since is later than --until; expected the earlier time first")


def select(traces: Traces, selection: CallSelection) -> pl.LazyFrame:
    """The calls that a selection leaves."""
    calls = traces.calls
    if selection.names:
        calls = calls.filter(pl.col("name").cast(pl.String).is_in(_matching(calls, "name", selection.names)))
    if selection.paths:
        either = [pl.col(column).is_in(_matching(calls, column, selection.paths)) for column in ("path", "target")]
        calls = calls.filter(pl.any_horizontal(either))
    if selection.pids:
        calls = calls.filter(pl.col("pid").is_in(selection.pids))
    if selection.ranks:
        calls = job_ranks.of_ranks(traces, calls, selection.ranks)
    if selection.since is None and selection.until is None:
        return calls
    first = _first(traces)
    since, until = (None if each is None else _absolute(each, first) for each in (selection.since, selection.until))
    check_order(since, until)
    if selection.since is not None:
        calls = calls.filter(pl.col("ts") + pl.col("dur") >= _absolute(selection.since, first))
    if selection.until is not None:
        calls = calls.filter(pl.col("ts") <= _absolute(selection.until, first))
    return calls


def select_profiles(traces: Traces, selection: CallSelection) -> pl.DataFrame:
    """The profiles that a selection leaves: those of calls that were added up, which it may cut in time only whole."""
    profiles = traces.profiles
    for column, globs in (("name", selection.names), ("path", selection.paths)):
        if globs:
            profiles = profiles.filter(pl.col(column).is_in(_matching(profiles.lazy(), column, globs)))
    if selection.pids:
        profiles = profiles.filter(pl.col("pid").is_in(selection.pids))
    if selection.ranks:
        profiles = job_ranks.of_ranks(traces, profiles, selection.ranks)
    first = _first(traces)
    if selection.since is not None:
        profiles = profiles.filter(pl.col("end") >= _absolute(selection.since, first))
    if selection.until is not None:
        profiles = profiles.filter(pl.col("begin") <= _absolute(selection.until, first))
    return profiles


def table(
    traces: Traces,
    calls: pl.LazyFrame,
    profiles: pl.DataFrame,
    view: str,
    limit: int | None = None,
    *,
    paths: tuple[str, ...] = (),
    marked: pl.LazyFrame | None = None,
    names: tuple[str, ...] | None = None,
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
        paths: Those of the selection: a call of two files may have been selected for one of them.
        marked: What `outermost` gives of the calls for the view's scope, where that is known already.
        names: `CallSelection.whole_functions`, for the calls of functions of which sampling chose none.

    Returns:
        Dicts with the view's own keys, ``layers`` (whose calls are added up) where the view has none, then count,
        nested, errors, bytes (None when unknown), time_us, p50_us, p90_us, p99_us, max_us (None when no end was seen),
        timed (calls of which the duration is known). Where not every call has a line, also ``approximate`` and
        ``margin``, see `estimated_rows`.
    """
    keys = KEYS[view]
    calls, profiles = _of_view(traces, calls, profiles, view, paths)
    if is_needed(traces):
        rows = estimated_rows(traces, calls, profiles, keys, SCOPES.get(view), marked=marked, names=names)
        rows.sort(key=lambda row: (-(row["time_us"] or 0), *(str(row[key]) for key in keys)))
        rows = rows[:limit]
    else:
        calls = marked if marked is not None and view in SCOPES else _marked(traces, calls, view)
        rows = exact_rows(traces, calls, keys, SCOPES.get(view), limit, channels=view == "channel")
    if SCOPES.get(view) == "layer":
        rows = with_nanoseconds(traces, rows)
    return [_readable(traces, row) for row in rows]


def table_share(traces: Traces, selection: CallSelection, view: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What `merged_table` makes rows of, from all files of some runs in which each call has a line."""
    calls, _ = _of_view(traces, select(traces, selection), traces.profiles, view, selection.paths)
    return exact_share(traces, _marked(traces, calls, view), KEYS[view], SCOPES.get(view))


def merged_table(
    traces: Traces, shares: Sequence[tuple[pl.DataFrame, pl.DataFrame]], view: str, limit: int | None
) -> list[dict[str, Any]]:
    """The rows that `table` gives of all traces, from shares whose traces are numbered as these."""
    rows = merged_rows(traces, shares, KEYS[view], SCOPES.get(view), limit, channels=view == "channel")
    if SCOPES.get(view) == "layer":
        rows = with_nanoseconds(traces, rows)
    return [_readable(traces, row) for row in rows]


def _marked(traces: Traces, calls: pl.LazyFrame, view: str) -> pl.LazyFrame:
    if view in SCOPES:
        return outermost(traces, calls, SCOPES[view])
    return calls.with_columns(pl.lit(value=False).alias("within"), pl.col("bytes").alias("own_bytes"))


def number_of_rows(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, view: str, *, paths: tuple[str, ...] = ()
) -> int:
    """How many rows `table` gives without a limit, of the same arguments."""
    calls, profiles = _of_view(traces, calls, profiles, view, paths)
    texts = [pl.col(key).cast(pl.String) for key in KEYS[view]]
    keys = [frame.select(texts).unique() for frame in (calls, profiles.lazy())]
    return int(pl.concat(keys).unique().select(pl.len()).collect(engine="streaming").item())


# The lines and profiles that a view is about.
def _of_view(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, view: str, paths: tuple[str, ...]
) -> tuple[pl.LazyFrame, pl.DataFrame]:
    if view in {"error", "failure"}:
        # Profiles do not tell kinds of errors.
        return calls.filter(pl.col("errno").is_not_null()), profiles.clear().with_columns(errno=pl.lit(None, pl.Int64))
    if view == "rank":
        return job_ranks.with_ranks(traces, calls), job_ranks.with_ranks(traces, profiles)
    if view == "node":
        return job_ranks.with_hosts(traces, calls), job_ranks.with_hosts(traces, profiles)
    if "path" not in KEYS[view]:
        return calls, profiles
    is_channel = view == "channel"
    named = pl.col("path").str.contains(CHANNEL) == pl.lit(is_channel)
    names = traces.paths.filter(named)
    if paths:
        names = names.filter(pl.col("path").is_in(_matching(names.lazy(), "path", paths)))
    calls = _of_each_file(traces, calls).filter(pl.col("fhash").is_in(names["fhash"].implode()))
    return by_node(traces, calls, channels=is_channel), by_node(traces, profiles.filter(named), channels=is_channel)


def by_layer(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Function rows in the order of the stack, the most time first within a layer."""
    order = {layer: position for position, layer in enumerate(LAYERS.values())}

    def place(row: dict[str, Any]) -> tuple[int, str, float, str]:
        return order.get(row["layer"], -1), row["layer"], -(row["time_us"] or 0), row["name"]

    return sorted(rows, key=place)


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
    totals["lost"] = sum(totals["lost_causes"].values())
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


# A call that reads one file and writes another is one of either.
def _of_each_file(traces: Traces, calls: pl.LazyFrame) -> pl.LazyFrame:
    if not traces.copies:
        return calls
    copies = calls.filter(pl.col("target").is_not_null())
    place = (pl.col("order") + SECOND_FILE).alias("order")  # one that no other row has
    return pl.concat([calls, copies.with_columns(place, path=pl.col("target"), fhash=pl.col("to_hash"))])


def _matching(calls: pl.LazyFrame, column: str, globs: tuple[str, ...]) -> list[str]:
    values = calls.select(pl.col(column).cast(pl.String).unique()).collect().to_series().drop_nulls()
    return [value for value in values if any(fnmatchcase(value, glob) for glob in globs)]


def _first(traces: Traces) -> int:
    moments = (traces.calls.select(pl.col("ts").min()).collect().item(), traces.profiles["begin"].min())
    return min((moment for moment in moments if isinstance(moment, int)), default=0)


def _absolute(moment: int, first: int) -> int:
    return moment if moment >= EPOCH_LIMIT else first + moment


def _readable(traces: Traces, row: dict[str, Any]) -> dict[str, Any]:
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
            result["host"] = traces.files[value].host
            result["process"] = traces.processes.get((value, row["pid"]), "")
            if traces.ranks:
                result["rank"] = traces.ranks.get((value, row["pid"]), Rank()).rank
        elif key == job_ranks.NUMBER:
            result["rank"] = value
        else:
            result[key] = value
    return result
