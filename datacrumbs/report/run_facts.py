"""Runs: which files are of one, what these say beside its calls, and how frames of several are put together."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.errors import DatacrumbsError
from datacrumbs.report.exact_rows import TableShare
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.members import first_text
from datacrumbs.trace.names import RUN
from datacrumbs.trace.ranks import Rank  # noqa: TC001 - values are made by the types of fields
from datacrumbs.trace.reader import TraceFile, Traces, read_traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

Value = TypeVar("Value")

_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the files of a run say beside its calls; positions of traces are those among these files.

    Attributes:
        files: Of each its head and its end.
        processes: As `Traces` has them, like the next two.
        ranks: Of processes.
        command_lines: Of processes.
        lives: Of processes, see `lives_of`.
    """

    files: list[TraceFile]
    processes: dict[tuple[int, int], str]
    ranks: dict[tuple[int, int], Rank]
    command_lines: dict[tuple[int, int], str]
    lives: pl.DataFrame

    @property
    def is_exact(self) -> bool:
        """Whether each call has a line."""
        return all_have_lines(self.files)


def all_have_lines(files: Iterable[TraceFile]) -> bool:
    """Whether each call has a line of its own."""
    return not any(file.sampled or file.profiles for file in files)


def files_by_run(paths: Sequence[Path]) -> list[list[int]]:
    """The positions of files, those of one run together, as far as their first lines say so."""
    if len(paths) == 1:
        return [[0]]
    groups: dict[object, list[int]] = {}
    for position, path in enumerate(paths):
        groups.setdefault(_run_of(path) or position, []).append(position)
    return list(groups.values())


def facts_of(traces: Traces, lives: pl.DataFrame, runs: Sequence[Sequence[int]]) -> list[RunFacts]:
    """The facts of each run.

    Args:
        traces: What was read.
        lives: Of its processes.
        runs: Of each run the positions of its files.
    """
    found = []
    for positions, own in zip(runs, divided(lives, runs), strict=True):
        found.append(
            RunFacts(
                [traces.files[position] for position in positions],
                _of_run(traces.processes, positions),
                _of_run(traces.ranks, positions),
                _of_run(traces.command_lines, positions),
                own,
            )
        )
    return found


def traces_of(facts: Sequence[RunFacts], runs: Sequence[Sequence[int]]) -> tuple[Traces, pl.DataFrame]:
    """All runs as traces without calls, and the lives of their processes.

    Args:
        facts: Of each run.
        runs: Of each run the positions of its files among all.
    """
    files: dict[int, TraceFile] = {}
    processes: dict[tuple[int, int], str] = {}
    ranks: dict[tuple[int, int], Rank] = {}
    command_lines: dict[tuple[int, int], str] = {}
    for places, each in zip(runs, facts, strict=True):
        files |= dict(zip(places, each.files, strict=True))
        processes |= {(places[trace], pid): name for (trace, pid), name in each.processes.items()}
        ranks |= {(places[trace], pid): rank for (trace, pid), rank in each.ranks.items()}
        command_lines |= {(places[trace], pid): text for (trace, pid), text in each.command_lines.items()}
    lives = pl.concat(placed(each.lives, places) for places, each in zip(runs, facts, strict=True))
    ordered = [files[position] for position in sorted(files)]
    traces = replace(read_traces([]), files=ordered, processes=processes, ranks=ranks, command_lines=command_lines)
    return traces, lives


def placed(frame: pl.DataFrame, places: Sequence[int]) -> pl.DataFrame:
    """A frame of a run with positions of traces among all instead of those among the run's."""
    return frame.with_columns(pl.col("trace").replace_strict(dict(enumerate(places)), return_dtype=pl.UInt32))


def divided(frame: pl.DataFrame, runs: Sequence[Sequence[int]]) -> list[pl.DataFrame]:
    """The reverse of `placed`: the frame of each run."""
    if len(runs) == 1:
        return [frame]
    of_trace = {position: number for number, positions in enumerate(runs) for position in positions}
    number_of = {position: number for positions in runs for number, position in enumerate(positions)}
    run = pl.col("trace").replace_strict(of_trace, return_dtype=pl.UInt32).alias("run")
    number = pl.col("trace").replace_strict(number_of, return_dtype=pl.UInt32).alias("trace")
    parts = frame.with_columns(run, number).partition_by("run", as_dict=True, include_key=False)
    return [parts.get((run,), frame.clear()) for run in range(len(runs))]


def placed_share(share: TableShare, places: Sequence[int]) -> TableShare:
    """What a run gives to a table, with positions of traces among all."""
    files = None if share.files is None else placed(share.files, places)
    return TableShare(placed(share.parts, places), placed(share.durations, places), files)


def divided_share(share: TableShare, runs: Sequence[Sequence[int]]) -> list[TableShare]:
    """What each run gives to a table, of what all of them give."""
    files = [None] * len(runs) if share.files is None else divided(share.files, runs)
    frames = divided(share.parts, runs), divided(share.durations, runs), files
    return [TableShare(*each) for each in zip(*frames, strict=True)]


def _of_run(every: Mapping[tuple[int, int], Value], positions: Sequence[int]) -> dict[tuple[int, int], Value]:
    place = {position: number for number, position in enumerate(positions)}
    return {(place[trace], pid): value for (trace, pid), value in every.items() if trace in place}


# Host, user and id of a file's run, from its first lines; None where it does not say.
def _run_of(path: Path) -> tuple[str, str, str] | None:
    host, head = "", b""
    with suppress(DatacrumbsError):  # what is wrong is said when calls are read
        head = first_text(path, _HEAD)
    for text in head.split(b"\n")[1:]:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not isinstance(line, dict) or not isinstance(line.get("args"), dict):
            return None
        if line.get("name") == "HH":
            host = str(line["args"].get("name", ""))
        elif line.get("name") == RUN:
            run_id = str(line["args"].get("run_id", ""))
            return (host, str(line["args"].get("user", "")), run_id) if run_id else None
    return None
