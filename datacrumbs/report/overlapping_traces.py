"""Traces that have the same calls in them must not be added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.report.nesting import runs
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from datacrumbs.trace.reader import Traces

SHOWN = 5


def check_apart(traces: Traces, lives: pl.DataFrame) -> None:
    """Refuse traces of one node that saw the same process at the same time: its calls would be counted twice.

    Two runs of one user record each other's programs; and a copy of a trace is another file with the same calls. The
    parts of one run follow each other and share nothing.

    Args:
        traces: Their files.
        lives: What `lives_of` gave of them.

    Raises:
        DatacrumbsError: (exit 2) naming two such traces and their processes.
    """
    of_run = runs(traces)
    hosts = {host: number for number, host in enumerate(dict.fromkeys(file.host for file in traces.files))}
    host = dict(enumerate(hosts[file.host] for file in traces.files))
    lives = lives.with_columns(pl.col("trace").cast(pl.Int64).replace_strict(host).alias("host"))
    together: dict[tuple[int, int], list[int]] = {}
    before: tuple[int, ...] | None = None
    columns = ("host", "pid", "begin", "end", "trace")
    for row in lives.select(columns).sort(columns[:3]).iter_rows():
        if before and before[:2] == row[:2] and row[2] <= before[3]:
            first, second = sorted((before[4], row[4]))
            parts = [traces.files[number].run.get("part", 0) for number in (first, second)]
            if first != second and (of_run[first] != of_run[second] or parts[0] == parts[1]):
                together.setdefault((first, second), []).append(row[1])
        before = row if not before or before[:2] != row[:2] or row[3] > before[3] else before
    for (first, second), processes in together.items():
        some = ", ".join(map(str, sorted(set(processes))[:SHOWN])) + (", ..." if len(set(processes)) > SHOWN else "")
        one, other = traces.files[first].path, traces.files[second].path
        raise usage_error(
            f"{one} and {other} both have calls of process {some} of node {traces.files[first].host or '?'}; "
            "together they would be counted twice",
            f"report one of them: datacrumbs_report {one}",
        )


def lives_of(traces: Traces) -> pl.DataFrame:
    """Of each process of each trace when its first call began, when the last one did, and when all had ended.

    Returns:
        Columns trace, pid, begin, last, end (epoch us).
    """
    begin, end = pl.col("ts"), pl.col("ts") + pl.max_horizontal("dur", 0)
    spans = [
        traces.calls.group_by("trace", "pid").agg(
            begin.min().alias("begin"), begin.max().alias("last"), end.max().alias("end")
        ),
        traces.profiles.lazy()
        .group_by("trace", "pid")
        .agg(pl.col("begin").min(), pl.col("begin").max().alias("last"), pl.col("end").max()),
    ]
    return pl.concat(spans, how="vertical_relaxed").collect(engine="streaming")
