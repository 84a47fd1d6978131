"""The kernel side's counters, as conservation counts per function."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.engine.kernel import read_task_storage
from datacrumbs.record import FunctionCounts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

COUNT = np.dtype(
    [
        ("entered", "<u8"),
        ("recorded", "<u8"),
        ("filtered", "<u8"),
        ("unmatched", "<u8"),
        ("ring_full", "<u8"),
        ("too_deep", "<u8"),
        ("no_memory", "<u8"),
    ]
)
"""`struct dc_count` of ``bpf/layout.h``."""

LOSSES = ("ring_full", "too_deep", "no_memory")

TOTALS = (
    "names_lost",
    "names_unread",
    "names_busy",
    "processes_lost",
    "events_lost",
    "returns_without_entry",
    "compat_calls",
    "handles_lost",
    "fields_unread",
)
"""`enum dc_total` of ``bpf/layout.h``."""

_IN_CALL = np.dtype(
    {
        "names": ["function", "active"],
        "formats": ["<u4", "<u2"],
        "offsets": [120, 126],
        "itemsize": 128,
    }
)
_FRAMES = 32
THREAD = np.dtype(
    {
        "names": ["system_call", "depth", "frames"],
        "formats": [_IN_CALL, "<u4", (_IN_CALL, (_FRAMES,))],
        "offsets": [0, 140, 168],
        "itemsize": 168 + _FRAMES * 128,
    }
)
"""What `in_flight` reads of `struct dc_thread`."""


def in_flight(storage: int, processes: Iterable[int], functions: int) -> NDArray[np.int64]:
    """How many calls of each function are entered and not left in these processes."""
    threads = [
        int(entry.name)
        for process in processes
        if (tasks := Path(f"/proc/{process}/task")).is_dir()
        for entry in tasks.iterdir()
    ]
    inside = np.zeros(functions, np.int64)
    for thread in read_task_storage(storage, threads, THREAD):
        if thread["system_call"]["active"]:
            inside[thread["system_call"]["function"]] += 1
        frames = thread["frames"][: int(thread["depth"])]
        np.add.at(inside, frames["function"], 1)
    return inside


def function_counts(counts: NDArray[np.void], inside: NDArray[np.int64]) -> list[FunctionCounts]:
    """Conservation per function from per-processor counters of shape (functions, processors)."""
    sums = {name: counts[name].sum(axis=1) for name in COUNT.names or ()}
    return [
        FunctionCounts(
            entered=int(sums["entered"][index]),
            recorded=int(sums["recorded"][index]),
            filtered=int(sums["filtered"][index]),
            unmatched=int(sums["unmatched"][index]),
            in_flight=int(inside[index]),
            lost={cause: int(sums[cause][index]) for cause in LOSSES if sums[cause][index]},
        )
        for index in range(len(counts))
    ]
