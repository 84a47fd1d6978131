"""Calls in portions of whole processes that fit into memory, however long a trace is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.output import counted
from datacrumbs.report.nesting import with_runs
from datacrumbs.report.time_partitions import time_partitions
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
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
    sizes = calls.group_by("run", "pid").len().collect(engine="streaming")
    if int(sizes["len"].sum()) <= LIMIT:
        return [Portion()], []
    ordered = sizes.sort("len", "run", "pid", descending=[True, False, False])
    found, left, together, number = list[Portion](), list[str](), list[tuple[int, int]](), 0
    for place, (run, pid, size) in enumerate(ordered.iter_rows()):
        if together and number + size > LIMIT:
            found.append(Portion(tuple(together)))
            together, number = [], 0
        if len(found) == most:
            rest = ordered["len"][place:]
            some = counted(len(rest), "process", "processes")
            left.append(f"{some} with {rest.sum():,} calls: only the {place:,} with the most calls were looked at")
            break
        if size > LIMIT:
            name = traces.processes.get((run, pid), "") or "a process"
            if not partly:
                return [], [f"calls of {name} (pid {pid}), which has {size:,}"]
            first = next(time_partitions(calls.filter(pl.col("run") == run, pl.col("pid") == pid), LIMIT))
            found.append(Portion(((run, pid),), first.end))
            left.append(f"the calls of {name} (pid {pid}) behind the first {first.calls:,} of {size:,}")
        else:
            together.append((run, pid))
            number += size
    if left and not partly:
        return [], left
    return ([*found, Portion(tuple(together))] if together else found), left


def of_portion(traces: Traces, calls: pl.LazyFrame, portion: Portion) -> pl.LazyFrame:
    """The calls of a portion, with the column ``run``."""
    if portion.processes:
        wanted = pl.DataFrame(list(portion.processes), {"run": pl.Int64, "pid": pl.Int64}, orient="row")
        # The first filter is one that is applied while calls are read.
        calls = calls.filter(pl.col("pid").is_in(wanted["pid"].unique().to_list()))
        pids = wanted.with_columns(pl.col("pid").cast(calls.collect_schema()["pid"]))
        calls = with_runs(traces, calls).join(pids.lazy(), on=["run", "pid"], how="semi")
    else:
        calls = with_runs(traces, calls)
    return calls if portion.before is None else calls.filter(pl.col("ts") < portion.before)
