"""Clocks of nodes from what must be in order: a collective call is left by none before all have entered it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.report.job_ranks import HOST, with_hosts
from datacrumbs.trace.corrections import Correction
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.report.node_clocks import Clocks
    from datacrumbs.trace.reader import Traces

COLLECTIVES = ("MPI_File_open",)
"""Calls that are collective over their communicator, and say by their file which of them belong together."""
_WHOLE_US = 1
"""Lines have whole microseconds, which are cut."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """How nodes were shifted.

    Args:
        shifts_us: Host -> what was added to its times; 0 for the first.
        bound_us: No two nodes are further apart than this.
        calls: How many collective calls of several nodes there were.
    """

    shifts_us: Mapping[str, int]
    bound_us: int
    calls: int


def align(traces: Traces, clocks: Clocks) -> Alignment | None:
    """Shift the times of nodes so that what must be in order is; changes ``traces``.

    Opening a file through MPI is collective, and the n-th time that a rank opens a file is taken to be the same call as
    that of the other ranks. For two nodes, each such call says that the first rank to leave on one was not before the
    last to enter on the other. All of them together leave an interval for the difference of their clocks, of which the
    middle is taken.

    Args:
        traces: Of several nodes.
        clocks: What is known of them: an interval that it excludes is refused.

    Returns:
        None where the clocks themselves are known to be closer: then nothing is shifted.

    Raises:
        DatacrumbsError: (exit 1) A node has no such call, or the calls contradict each other.
    """
    hosts = sorted({file.host for file in traces.files})
    first, *others = hosts
    ends = _ends(traces)
    shifts, halves = {first: 0}, [0]
    for host in others:
        both = ends[first].keys() & ends[host].keys()
        if not both:
            raise _not_aligned(f"nodes {first} and {host} have no collective MPI_File_open in common")
        # Latest entry and earliest exit of each call, on either node.
        low = max(ends[first][call][0] - ends[host][call][1] for call in both) - _WHOLE_US
        high = min(ends[first][call][1] - ends[host][call][0] for call in both) + _WHOLE_US
        if low > high:
            raise _not_aligned(f"the collective calls of nodes {first} and {host} contradict each other")
        if clocks.bound_us is not None and (low > clocks.bound_us or high < -clocks.bound_us):
            raise _not_aligned(f"the collective calls of nodes {first} and {host} contradict their clocks")
        shifts[host] = (low + high) // 2
        halves.append((high - low + 1) // 2)
    bound = sum(sorted(halves, reverse=True)[:2])
    if clocks.bound_us is not None and clocks.bound_us <= bound:
        return None
    corrections = {position: Correction(shifts[file.host]) for position, file in enumerate(traces.files)}
    traces.correct(corrections)
    return Alignment(shifts, bound, len(set.intersection(*(set(ends[host]) for host in hosts))))


# Host -> call -> its latest entry and its earliest exit there.
def _ends(traces: Traces) -> dict[str, dict[tuple[str, int], tuple[int, int]]]:
    calls = with_hosts(traces, traces.calls.filter(pl.col("name").cast(pl.String).is_in(COLLECTIVES)))
    calls = calls.filter(pl.col("path").is_not_null() & (pl.col("dur") > 0)).select("pid", "path", "ts", "end", HOST)
    frame = calls.collect(engine="streaming").sort("ts")
    frame = frame.with_columns(pl.int_range(pl.len()).over(HOST, "pid", "path").alias("number"))
    found: dict[str, dict[tuple[str, int], tuple[int, int]]] = {file.host: {} for file in traces.files}
    grouped = frame.group_by(HOST, "path", "number").agg(pl.col("ts").max(), pl.col("end").min())
    for host, path, number, entered, left in grouped.iter_rows():
        found[host][path, number] = entered, left
    return found


def _not_aligned(reason: str) -> DatacrumbsError:
    return DatacrumbsError(
        f"--align mpi: {reason}",
        hint="it takes traces of MPI-IO in which all ranks open the same files together (not on MPI_COMM_SELF)",
    )
