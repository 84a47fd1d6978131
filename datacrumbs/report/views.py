"""What a row of a table can be: the columns that distinguish rows, and the calls that a table is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from datacrumbs.report import PHASES, job_ranks
from datacrumbs.report.call_selection import names_in
from datacrumbs.report.estimated_rows import SHARE
from datacrumbs.report.file_groups import GROUPS, with_groups
from datacrumbs.report.nesting import SECOND_FILE
from datacrumbs.report.node_files import by_node
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacrumbs.report.call_selection import CallSelection
    from datacrumbs.trace.reader import Traces

Frame = TypeVar("Frame", pl.LazyFrame, pl.DataFrame)

PHASE, SIZE_CLASS = "phase", "size_class"
KEYS = {
    "function": ["category", "name"],
    "file": ["path"],
    "channel": ["path"],
    **{view: [view] for view in GROUPS},
    "process": ["trace", "pid"],
    "rank": [job_ranks.JOB, job_ranks.STEP, job_ranks.NUMBER],
    "node": [job_ranks.HOST],
    "layer": ["category"],
    "size": ["category", "name", SIZE_CLASS],
    "time": [PHASE],
    "error": ["errno", "category", "name"],
    "failure": ["path", "errno", "category", "name"],
}
SCOPES = dict.fromkeys(("function", "layer", "size"), "layer")
SCOPES |= dict.fromkeys(("file", "channel", *GROUPS), "file")
SCOPES |= dict.fromkeys(("process", "rank", "node", "time"), "process")
"""View -> what its sums must not count twice, see `outermost`."""
CHANNEL = r"^(?:[a-z_]+:\[|anon_inode:|socket:|pipe:|/dev/(?:pts/|tty|pty|ptmx|console|hvc))"
"""Names of pipes, sockets, terminals and other things that programs wait on and that are no files."""
WAITS = (
    *("poll", "ppoll", "select", "pselect", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2", "futex", "pause"),
    *("nanosleep", "clock_nanosleep", "sleep", "usleep", "wait4", "waitid", "rt_sigtimedwait", "rt_sigsuspend"),
    *("MPI_Wait", "MPI_Waitall", "MPI_Waitany", "MPI_Waitsome", "MPI_Barrier", "MPI_Probe"),
)
"""Functions that do nothing but wait."""
OPENS = (
    *("open", "openat", "openat2", "creat", "mkstemp", "mkostemp", "mkstemps", "mkostemps", "fopen", "freopen"),
    *("opendir", "H5Fopen", "H5Fcreate", "MPI_File_open"),
)
"""Functions that open a file by its name."""
LEAST_BYTES = (0, 1, 512, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20)
SIZES = ("0 B", "< 512 B", "512 B +", "4 KiB +", "64 KiB +", "256 KiB +", "1 MiB +", "4 MiB +")
"""Classes of sizes, each up to the next one."""


class Phases(NamedTuple):
    """Equal parts of a run: when the first one begins, epoch us, and how long each is, us."""

    first: int
    width: int


def of_view(
    traces: Traces,
    calls: pl.LazyFrame,
    profiles: pl.DataFrame,
    view: str,
    selection: CallSelection,
    *,
    phases: Phases | None = None,
) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """The calls and profiles that a view is about, with the columns of `KEYS`, ``waiting`` and ``opening``.

    Args:
        traces: Where they come from.
        calls: The lines that a selection leaves.
        profiles: The calls that were added up, likewise.
        view: Of `KEYS`.
        selection: That selection.
        phases: Those of the view ``time``; None for those of these calls and profiles.
    """
    calls, profiles = _marked(traces, calls), _marked(traces, profiles)
    if view in {"error", "failure"}:
        # Profiles do not tell kinds of errors.
        failed = calls.filter(pl.col("errno").is_not_null()) if traces.failures else calls.clear()
        return failed, profiles.clear().with_columns(errno=pl.lit(None, pl.Int64))
    if view == "rank":
        return job_ranks.with_ranks(traces, calls), job_ranks.with_ranks(traces, profiles)
    if view == "node":
        return job_ranks.with_hosts(traces, calls), job_ranks.with_hosts(traces, profiles)
    if view == "time":
        return _with_phases(calls, profiles, phases or phases_of(calls, profiles))
    if view == "size":
        places = pl.sum_horizontal((pl.col("bytes") >= least).cast(pl.Int64) for least in LEAST_BYTES) - 1
        # Of calls that were added up it is not known how large each was.
        unknown = profiles.filter(pl.col("bytes").is_not_null()).with_columns(pl.lit(None, pl.Int64).alias(SIZE_CLASS))
        return calls.filter(pl.col("bytes").is_not_null()).with_columns(places.alias(SIZE_CLASS)), unknown
    return _of_files(traces, calls, profiles, view, selection) if SCOPES[view] == "file" else (calls, profiles)


def phases_of(calls: pl.LazyFrame, profiles: pl.DataFrame) -> Phases:
    """The parts of a run with these calls."""
    return phases_between([*moments_of(calls), profiles["begin"].min(), profiles["end"].max()])


def moments_of(calls: pl.LazyFrame) -> tuple[Any, Any]:
    """When the first and the last of some calls begin, epoch us; None where there is none."""
    begins = calls.select(pl.col("ts").min(), pl.col("ts").max().alias("last")).collect(engine="streaming")
    return begins.row(0)


def phases_between(moments: Iterable[object]) -> Phases:
    """The parts of a run in which these moments are, None apart."""
    known = [moment for moment in moments if isinstance(moment, int)]
    return Phases(min(known, default=0), (max(known, default=0) - min(known, default=0)) // PHASES + 1)


def _with_phases(calls: pl.LazyFrame, profiles: pl.DataFrame, phases: Phases) -> tuple[pl.LazyFrame, pl.DataFrame]:
    first, width = phases
    phase = ((pl.col("ts") - first) // width).cast(pl.Int64).alias(PHASE)
    return calls.with_columns(phase), _spread(profiles, first, width)


# Profiles cut where parts of the run begin. Of the calls of one it is known when the first began and when the last
# ended; they are taken as spread evenly between, whole calls with equal parts of the sums.
def _spread(profiles: pl.DataFrame, first: int, width: int) -> pl.DataFrame:
    low, high = ((pl.col(column) - first) // width for column in ("begin", "end"))
    cut = profiles.with_columns(pl.int_ranges(low, pl.max_horizontal(low, high) + 1).alias(PHASE)).explode(PHASE)
    count, span = pl.col("count"), (pl.col("end") - pl.col("begin")).clip(1)
    moment = first + pl.col(PHASE) * width - pl.col("begin")
    before, after = (
        (count * (since_begin.clip(0, span) / span)).ceil() / count for since_begin in (moment, moment + width)
    )
    sums = [
        ((pl.col(name) * after).round() - (pl.col(name) * before).round()).cast(profiles.schema[name], strict=False)
        for name in ("count", "errors", "bytes", "time_ns")
    ]
    return cut.with_columns(*sums, (after - before).alias(SHARE)).filter(count > 0)


def on_channel(traces: Traces, frame: pl.LazyFrame | pl.DataFrame) -> pl.Expr:
    """Which calls of a frame are on what programs wait on and what is no file."""
    channels = traces.paths.filter(pl.col("path").str.contains(CHANNEL))["fhash"]
    return pl.col("fhash").is_in(channels.cast(frame.collect_schema()["fhash"]).implode()).fill_null(value=False)


# Which calls wait, and which open a file.
def _marked(traces: Traces, frame: Frame) -> Frame:
    kind = frame.collect_schema()
    waits, opens = (pl.col("name").is_in(pl.Series(names, dtype=kind["name"]).implode()) for names in (WAITS, OPENS))
    return frame.with_columns((on_channel(traces, frame) | waits).alias("waiting"), opens.alias("opening"))


def _of_files(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, view: str, selection: CallSelection
) -> tuple[pl.LazyFrame, pl.DataFrame]:
    is_channel = view == "channel"
    named = pl.col("path").str.contains(CHANNEL) == pl.lit(is_channel)
    names = names_in(selection, traces.paths.filter(named))
    on_some = pl.col("fhash").is_in(names["fhash"].implode())
    calls = calls.clear() if names.is_empty() else _of_each_file(traces, calls).filter(on_some)
    profiles = profiles.filter(named)
    if view in GROUPS:
        calls, profiles = with_groups(traces, calls, view), with_groups(traces, profiles, view)
        return _without_doubles(calls, view) if traces.copies else calls, profiles
    return by_node(traces, calls, channels=is_channel), by_node(traces, profiles, channels=is_channel)


# A call that reads one file and writes another is one of either.
def _of_each_file(traces: Traces, calls: pl.LazyFrame) -> pl.LazyFrame:
    if not traces.copies:
        return calls
    copies = calls.filter(pl.col("target").is_not_null())
    place = (pl.col("order") + SECOND_FILE).alias("order")  # one that no other row has
    return pl.concat([calls, copies.with_columns(place, path=pl.col("target"), fhash=pl.col("to_hash"))])


# A call of two files of one group is one call of that group.
def _without_doubles(calls: pl.LazyFrame, view: str) -> pl.LazyFrame:
    second = pl.col("order") >= SECOND_FILE
    first = calls.filter(~second, pl.col("target").is_not_null()).select(pl.col("order") + SECOND_FILE, view)
    doubles = calls.filter(second).select("order", view).join(first, on=["order", view], how="semi")
    return calls.join(doubles.select("order"), on="order", how="anti")
