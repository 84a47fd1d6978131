"""Time that calls cover together: by layer, by thread, and however few calls are looked at at once."""

from __future__ import annotations

import random
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.report.busy_time import Busy, busy
from datacrumbs.report.nesting import Nesting
from datacrumbs.report.time_partitions import time_partitions
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = ("HDF5", "POSIX", "SYS")
THREADS = (7, 8, 9)


def found_of(path: Path, most: int) -> Busy:
    traces = read_traces([path])
    nesting = Nesting(traces, traces.calls, ["layer"], traces.near)
    return busy(nesting.outermost("layer"), time_partitions(traces.calls, most), partial(nesting.near, "layer"))


def covered(calls: list[tuple[str, int, int, int]]) -> set[tuple[int, int]]:
    """(thread, microsecond) of each that any of the calls covers."""
    return {(thread, at) for _, thread, begin, duration in calls for at in range(begin, begin + duration)}


def expected(calls: list[tuple[str, int, int, int]]) -> tuple[dict[str, int], dict[str, int], int]:
    below = [len(covered([call for call in calls if call[0] in LAYERS[rank:]])) for rank in range(len(LAYERS) + 1)]
    own = {layer: here - next_one for layer, (here, next_one) in zip(LAYERS, pairwise(below), strict=True)}
    wall = {layer: len({at for _, at in covered([call for call in calls if call[0] == layer])}) for layer in LAYERS}
    return own, wall, len({at for _, at in covered(calls)})


@pytest.mark.parametrize("most", [7, 1_000_000])
def test_random_calls_cover_what_they_cover(made: Any, tmp_path: Path, most: int) -> None:
    chooser = random.Random(11)
    calls = [
        (chooser.choice(LAYERS), chooser.choice(THREADS), chooser.randrange(1000, 3000), chooser.choice([0, 1, 5, 150]))
        for _ in range(211)
    ]
    calls.append(("HDF5", 7, 1000, 1901))  # reaches over most of the others
    lines = [made.call("call", layer, begin, duration, thread=thread) for layer, thread, begin, duration in calls]
    found = found_of(made.write(tmp_path / "run.pfw.gz", lines), most)
    assert (found.own_us, found.wall_us, found.total_us) == expected(calls)
    assert found.span_us == max(begin + duration for _, _, begin, duration in calls) - 1000


def test_no_calls_are_busy_for_no_time(made: Any, tmp_path: Path) -> None:
    assert found_of(made.write(tmp_path / "run.pfw.gz", []), 7) == Busy({}, {})
