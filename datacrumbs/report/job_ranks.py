"""Jobs of several processes and nodes: which ranks there are, where they ran, and which are missing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import count, groupby
from typing import TYPE_CHECKING, Any, TypeVar

from datacrumbs.output import counted
from datacrumbs.report.row_columns import of_no_calls
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from datacrumbs.trace.reader import Traces

Frame = TypeVar("Frame", pl.LazyFrame, pl.DataFrame)

JOB, STEP, NUMBER, HOST = "job_id", "step", "rank_number", "host"
"""Columns that `with_ranks` and `with_hosts` add; ``rank`` is that of a layer elsewhere."""


LARGEST = 1 << 22
"""Ranks of a job; a larger number is taken for none."""


@dataclass(frozen=True, slots=True)
class Job:
    """Processes that were started together, as one step of a job or by one launcher.

    Args:
        job_id: Its scheduler's number, or empty.
        step: Of the job, or None.
        size: How many ranks it has, or None where no launcher said.
        ranks: Rank -> the nodes whose traces have it.
    """

    job_id: str
    step: int | None
    size: int | None
    ranks: Mapping[int, tuple[str, ...]]

    @property
    def missing(self) -> tuple[int, ...]:
        """Ranks that no trace has."""
        return tuple(number for number in range(self.size or 0) if number not in self.ranks)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Where its ranks ran."""
        return tuple(sorted({node for nodes in self.ranks.values() for node in nodes}))

    def described(self) -> str:
        """One line for people."""
        name = f"job {self.job_id}" if self.job_id else "ranks"
        name += "" if self.step is None else f" step {self.step}"
        seen = f"{len(self.ranks):,} of {counted(self.size, 'rank')}" if self.size else counted(len(self.ranks), "rank")
        return f"{name}: {seen} on {counted(len(self.nodes), 'node')}"

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "job_id": self.job_id,
            "step": self.step,
            "size": self.size,
            "ranks": {str(number): list(nodes) for number, nodes in sorted(self.ranks.items())},
            "missing": list(self.missing),
        }


def jobs(traces: Traces) -> list[Job]:
    """The jobs and steps of which there are ranks, in order."""
    sizes: dict[tuple[str, int | None], int] = {}
    found: dict[tuple[str, int | None], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (position, _), rank in traces.ranks.items():
        if rank.rank is None:
            continue
        key = rank.job_id, rank.step
        found[key][rank.rank].add(traces.files[position].host)
        # What a process's environment says; the missing ranks are listed.
        size = rank.size if rank.size and rank.size <= LARGEST else 0
        sizes[key] = max(size, sizes.get(key, 0))
    ordered = sorted(found, key=lambda key: (key[0], -1 if key[1] is None else key[1]))
    return [
        Job(*key, sizes[key] or None, {number: tuple(sorted(nodes)) for number, nodes in sorted(found[key].items())})
        for key in ordered
    ]


def with_ranks(traces: Traces, frame: Frame) -> Frame:
    """Calls or profiles with the columns JOB, STEP and NUMBER, null where they are not known."""
    schema = {"trace": pl.UInt32, "pid": pl.Int64, JOB: pl.String, STEP: pl.Int64, NUMBER: pl.Int64}
    rows = [
        (trace, process, each.job_id or None, each.step, each.rank) for (trace, process), each in traces.ranks.items()
    ]
    known = pl.DataFrame(rows, schema, orient="row")
    if isinstance(frame, pl.LazyFrame):
        return frame.join(known.lazy(), on=["trace", "pid"], how="left")
    return frame.join(known, on=["trace", "pid"], how="left")


def with_hosts(traces: Traces, frame: Frame) -> Frame:
    """Calls or profiles with the column HOST."""
    hosts = {position: file.host for position, file in enumerate(traces.files)}
    host = pl.col("trace").cast(pl.Int64).replace_strict(hosts, return_dtype=pl.String)
    return frame.with_columns(host.alias(HOST))


def of_ranks(traces: Traces, frame: Frame, numbers: tuple[int, ...]) -> Frame:
    """Those of processes with one of these ranks."""
    columns = frame.collect_schema().names()
    return with_ranks(traces, frame).filter(pl.col(NUMBER).is_in(numbers)).select(columns)


def node_rows(traces: Traces, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a table of nodes with what else is known of each; nodes without any call are added.

    Args:
        traces: Where they come from.
        rows: One per node that has calls.

    Returns:
        With ``ranks`` (their number) and ``state`` (complete, or what the node's traces lack).
    """
    numbers: dict[str, set[tuple[str, int | None, int]]] = defaultdict(set)
    for (position, _), rank in traces.ranks.items():
        if rank.rank is not None:
            numbers[traces.files[position].host].add((rank.job_id, rank.step, rank.rank))
    known = {row[HOST] for row in rows}
    if rows:
        absent = sorted({file.host for file in traces.files} - known)
        rows = [*rows, *({**of_no_calls(rows[0]), HOST: host} for host in absent)]
    for row in rows:
        host = row[HOST]
        row["ranks"] = len(numbers[host])
        lacking = dict.fromkeys(file.lacking for file in traces.files if file.host == host)
        row["state"] = "; ".join(filter(None, lacking)) or "complete"
    return rows


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in order as people write them: ``0-3, 7``."""
    counting = count()
    parts = []
    for _, group in groupby(sorted(numbers), key=lambda number: number - next(counting)):
        run = list(group)
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ", ".join(parts)
