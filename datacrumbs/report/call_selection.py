"""Which calls a report is about."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.quantities import SECOND, read_duration
from datacrumbs.report import job_ranks
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.trace.reader import Traces

EPOCH_LIMIT = 10**14  # a number above it is epoch microseconds: as seconds of a run it would be three million years


@dataclass(frozen=True, slots=True)
class CallSelection:
    """Which calls a report is about.

    Args:
        names: Globs of function names; any must match; empty for all.
        paths: Globs of file paths; empty for all.
        not_paths: Globs of file paths that are left out.
        pids: Process ids; empty for all.
        ranks: Numbers of ranks; empty for all.
        since: First moment, us after the first call, or epoch us; calls that reach into it count.
        until: Last moment, likewise.
    """

    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()
    since: int | None = None
    until: int | None = None

    @property
    def whole_functions(self) -> tuple[str, ...] | None:
        """The globs of names where nothing else selects, so that a function has all of its calls or none."""
        other = self.paths or self.not_paths or self.pids or self.ranks
        return None if other or self.since is not None or self.until is not None else self.names


ALL = CallSelection()


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
        return round(read_duration(text, SECOND) / 1000)
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
    return selecting(traces, selection)(traces.calls)


def selecting(traces: Traces, selection: CallSelection) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
    """A function that gives those of any calls that a selection leaves."""
    calls, conditions = traces.calls, list[pl.Expr]()
    if selection.names:
        conditions.append(pl.col("name").cast(pl.String).is_in(_matching(calls, "name", selection.names)))
    if selection.paths:
        either = [_matches(calls, column, selection.paths) for column in ("path", "target")]
        conditions.append(pl.any_horizontal(either))
    if selection.not_paths:
        # A call of two files is left out where neither is to be seen.
        out = [_matches(calls, column, selection.not_paths) for column in ("path", "target")]
        conditions.append(~(out[0] & (out[1] | pl.col("target").is_null())))
    if selection.pids:
        conditions.append(pl.col("pid").is_in(selection.pids))
    if selection.since is not None or selection.until is not None:
        first = first_moment(traces)
        since, until = (None if each is None else _absolute(each, first) for each in (selection.since, selection.until))
        check_order(since, until)
        conditions += [] if since is None else [pl.col("ts") + pl.col("dur") >= since]
        conditions += [] if until is None else [pl.col("ts") <= until]

    def selected(calls: pl.LazyFrame) -> pl.LazyFrame:
        calls = calls.filter(*conditions) if conditions else calls
        return job_ranks.of_ranks(traces, calls, selection.ranks) if selection.ranks else calls

    return selected


def names_in(selection: CallSelection, names: pl.DataFrame) -> pl.DataFrame:
    """Those of files' names (column ``path``) that a selection leaves: of a call's two files, one may be left out."""
    if selection.paths:
        names = names.filter(_matches(names.lazy(), "path", selection.paths))
    if selection.not_paths:
        names = names.filter(~_matches(names.lazy(), "path", selection.not_paths))
    return names


def select_profiles(traces: Traces, selection: CallSelection) -> pl.DataFrame:
    """The profiles that a selection leaves: those of calls that were added up, which it may cut in time only whole."""
    profiles = traces.profiles
    for column, globs in (("name", selection.names), ("path", selection.paths)):
        if globs:
            profiles = profiles.filter(_matches(profiles.lazy(), column, globs))
    if selection.not_paths:
        profiles = profiles.filter(~_matches(profiles.lazy(), "path", selection.not_paths))
    if selection.pids:
        profiles = profiles.filter(pl.col("pid").is_in(selection.pids))
    if selection.ranks:
        profiles = job_ranks.of_ranks(traces, profiles, selection.ranks)
    first = first_moment(traces)
    if selection.since is not None:
        profiles = profiles.filter(pl.col("end") >= _absolute(selection.since, first))
    if selection.until is not None:
        profiles = profiles.filter(pl.col("begin") <= _absolute(selection.until, first))
    return profiles


def first_moment(traces: Traces) -> int:
    """The beginning of the first call, epoch us; 0 without any."""
    moments = (traces.calls.select(pl.col("ts").min()).collect().item(), traces.profiles["begin"].min())
    return min((moment for moment in moments if isinstance(moment, int)), default=0)


# Whether a text is there and matches.
def _matches(calls: pl.LazyFrame, column: str, globs: tuple[str, ...]) -> pl.Expr:
    return pl.col(column).is_in(_matching(calls, column, globs)).fill_null(value=False)


def _matching(calls: pl.LazyFrame, column: str, globs: tuple[str, ...]) -> list[str]:
    values = calls.select(pl.col(column).cast(pl.String).unique()).collect().to_series().drop_nulls()
    return [value for value in values if any(fnmatchcase(value, glob) for glob in globs)]


def _absolute(moment: int, first: int) -> int:
    return moment if moment >= EPOCH_LIMIT else first + moment
