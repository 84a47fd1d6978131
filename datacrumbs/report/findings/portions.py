"""Calls in portions of whole processes that fit into memory, however long a trace is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.output import counted
from datacrumbs.report.nesting import runs, with_runs
from datacrumbs.report.time_partitions import EARLIEST, LATEST, first_partitions
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Collection

    from datacrumbs.report.nesting import Near
    from datacrumbs.trace.reader import Traces

LIMIT = 500_000
"""Calls that are looked at together; of a process with more, the first ones are looked at."""
MOST = 4
"""Portions that are looked at, those of the processes with the most calls."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Calls to look at together.

    Args:
        processes: Run (position of its first file) and pid of each; empty for all.
        before: Only calls that begin before this moment; None for all.
    """

    processes: tuple[tuple[int, int], ...] = ()
    before: int | None = None


def portions(
    traces: Traces, calls: pl.LazyFrame, most: int | None = MOST, *, partly: bool = True
) -> tuple[list[Portion], list[str]]:
    """Divide calls.

    Args:
        traces: Where they come from.
        calls: Of any number of processes.
        most: How many portions at most; None for all.
        partly: Whether to give any where they do not have all of the calls.

    Returns:
        The portions, and what is in none of them, in words.
    """
    calls = with_runs(traces, calls)
    begin = pl.col("ts")
    spans = calls.group_by("run", "pid").agg(pl.len(), begin.min().alias("first"), begin.max().alias("last"))
    sizes = spans.collect(engine="streaming")
    if int(sizes["len"].sum()) <= LIMIT:
        return [Portion()], []
    ordered = sizes.sort("len", "run", "pid", descending=[True, False, False])
    # The largest processes come first.
    large = ordered.filter(pl.col("len") > LIMIT)
    if len(large) and not partly:
        run, pid, size = large.select("run", "pid", "len").row(0)
        return [], [f"calls of {_named(traces, run, pid)} (pid {pid}), which has {size:,}"]
    large = large if most is None else large.head(most)
    firsts = iter(first_partitions(calls, large, LIMIT) if len(large) else ())
    found, left, together, number = list[Portion](), list[str](), list[tuple[int, int]](), 0
    for place, (run, pid, size) in enumerate(ordered.select("run", "pid", "len").iter_rows()):
        if together and number + size > LIMIT:
            found.append(Portion(tuple(together)))
            together, number = [], 0
        if len(found) == most:
            rest = ordered["len"][place:]
            some = counted(len(rest), "process", "processes")
            left.append(f"{some} with {rest.sum():,} calls: only the {place:,} with the most calls were looked at")
            break
        if size > LIMIT:
            first = next(firsts)
            found.append(Portion(((run, pid),), first.end))
            behind = f"the first {first.calls:,} of {size:,}"
            left.append(f"the calls of {_named(traces, run, pid)} (pid {pid}) behind {behind}")
        else:
            together.append((run, pid))
            number += size
    if left and not partly:
        return [], left
    return ([*found, Portion(tuple(together))] if together else found), left


def _named(traces: Traces, run: int, pid: int) -> str:
    return traces.processes.get((run, pid), "") or "a process"


def of_portion(traces: Traces, near: Near, portion: Portion, files: Collection[int] | None = None) -> pl.LazyFrame:
    """The calls of a portion, with the column ``run``.

    Args:
        traces: Where they come from.
        near: Gives those of the calls that reach into an interval, perhaps with others.
        portion: Which of them.
        files: Only of traces at these positions; None for all.
    """
    calls = near(EARLIEST, LATEST if portion.before is None else portion.before, files)
    calls = calls if files is None else calls.filter(pl.col("trace").is_in(list(files)))
    if portion.processes:
        wanted = pl.DataFrame(list(portion.processes), {"run": pl.Int64, "pid": pl.Int64}, orient="row")
        # The first filter is one that is applied while calls are read.
        calls = calls.filter(pl.col("pid").is_in(wanted["pid"].unique().to_list()))
        pids = wanted.with_columns(pl.col("pid").cast(calls.collect_schema()["pid"]))
        calls = with_runs(traces, calls)
        if len(set(runs(traces))) > 1:
            calls = calls.join(pids.lazy(), on=["run", "pid"], how="semi")
    else:
        calls = with_runs(traces, calls)
    return calls if portion.before is None else calls.filter(pl.col("ts") < portion.before)
