"""Time by stacks of calls, for flame graphs: collapsed lines, and speedscope's files."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.model.layers import LAYERS
from datacrumbs.output import printable
from datacrumbs.report.exports.trees import own_time, processes
from datacrumbs.report.nesting import from_the_top
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from datacrumbs.trace.reader import Traces

    Numbers = NDArray[np.int64]

Stack = tuple[str, ...]
"""A process, and calls from the outermost on, each with its layer."""
ALL = "all layers"
SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def write_collapsed(traces: Traces, calls: pl.LazyFrame, place: Path) -> None:
    """Write a line for each stack: its frames with semicolons between them, and the microseconds in it itself."""
    with place.open("w", encoding="utf-8", errors="replace") as stream:
        for stack, time in sorted(_stacks(traces, calls)[ALL].items()):
            if time:
                stream.write(f"{';'.join(frame.replace(';', ':') for frame in stack)} {time}\n")


def write_speedscope(traces: Traces, calls: pl.LazyFrame, place: Path) -> None:
    """Write a profile of all calls, and one of those of each layer."""
    frames: dict[str, int] = {}
    profiles: list[dict[str, Any]] = []
    for name, stacks in _stacks(traces, calls).items():
        timed = [(stack, time) for stack, time in sorted(stacks.items()) if time]
        samples = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack, _ in timed]
        weights = [time for _, time in timed]
        ends = {"startValue": 0, "endValue": sum(weights)}
        kind = {"type": "sampled", "name": printable(name), "unit": "microseconds"}
        profiles.append({**kind, **ends, "samples": samples, "weights": weights})
    document = {
        "$schema": SCHEMA,
        "exporter": "datacrumbs",
        "name": printable(", ".join(trace.path.name for trace in traces.files)),
        "shared": {"frames": [{"name": frame} for frame in frames]},
        "profiles": profiles,
    }
    place.write_text(json.dumps(document), encoding="utf-8")


# Profile -> stack -> microseconds in it and in no call inside of it.
def _stacks(traces: Traces, calls: pl.LazyFrame) -> dict[str, dict[Stack, int]]:
    found: dict[str, dict[Stack, int]] = {ALL: defaultdict(int)}
    for nested in processes(traces, calls):
        names = _process_names(traces, nested)
        frames = nested.select(frame=pl.concat_str(_layer(), pl.col("name").cast(pl.String), separator=" "))["frame"]
        layers = nested.select(_layer().alias("layer"))["layer"]
        parent = nested["parent"].to_numpy()
        duration = nested["dur"].clip(0).to_numpy().astype(np.int64)
        present = from_the_top(set(nested["category"].cast(pl.String)))
        for profile in (ALL, *(LAYERS.get(each, each) for each in present if len(present) > 1)):
            chosen = np.ones(len(nested), np.bool_) if profile == ALL else (layers == profile).to_numpy()
            sums = found.setdefault(profile, defaultdict(int))
            for stack, time in _sums(names, frames, _above(parent, chosen), duration, chosen):
                sums[stack] += time
    return found


def _layer() -> pl.Expr:
    return pl.col("category").cast(pl.String).replace(LAYERS)


def _process_names(traces: Traces, nested: pl.DataFrame) -> pl.Series:
    known = nested.select("run", "pid").unique()
    many = len({trace.host for trace in traces.files}) > 1
    names = []
    for run, pid in known.iter_rows():
        host = f"{traces.files[run].host}: " if many else ""
        names.append(printable(f"{host}{traces.processes.get((run, pid), 'process')} [{pid}]"))
    known = known.with_columns(pl.Series("process", names, pl.String))
    return nested.select("run", "pid").join(known, on=["run", "pid"], how="left", maintain_order="left")["process"]


# The nearest chosen call that each is inside of.
def _above(parent: Numbers, chosen: NDArray[np.bool_]) -> Numbers:
    above = parent.copy()
    while True:
        wrong = (above >= 0) & ~chosen[above]
        if not wrong.any():
            return above
        above[wrong] = parent[above[wrong]]


# Level by level: the calls of one function inside one stack are a stack.
def _sums(
    names: pl.Series, frames: pl.Series, above: Numbers, duration: Numbers, chosen: NDArray[np.bool_]
) -> Iterator[tuple[Stack, int]]:
    rows = np.flatnonzero(chosen)
    own = own_time(np.where(chosen, above, -1), duration)
    of_process, codes = _codes(names), _codes(frames)
    width = int(codes.max(initial=0)) + 1
    node = np.full(len(duration), -1, np.int64)
    stacks: list[Stack] = []
    level, rest = rows[above[rows] < 0], rows[above[rows] >= 0]
    under, below = of_process[level], False
    while len(level):
        _, first, number = np.unique(under * width + codes[level], return_index=True, return_inverse=True)
        node[level] = len(stacks) + number
        for each in first:
            row = int(level[each])
            outer: Stack = stacks[node[above[row]]] if below else (names[row],)
            stacks.append((*outer, printable(frames[row])))
        ready = node[above[rest]] >= 0
        level, rest = rest[ready], rest[~ready]
        under, below = node[above[level]], True
    times = np.bincount(node[rows], own[rows], len(stacks)).astype(np.int64)
    yield from zip(stacks, times.tolist(), strict=True)


def _codes(texts: pl.Series) -> Numbers:
    return texts.cast(pl.Categorical).to_physical().to_numpy().astype(np.int64)
