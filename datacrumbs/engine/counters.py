"""The kernel side's counters, as conservation counts per function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.contract import Total
from datacrumbs.model.layouts import COUNT
from datacrumbs.model.record import FunctionCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

CAUSES = {
    "filtered_duration": "filtered",
    "filtered_sampled": "sampled",
    "filtered_helper": "helper",
    "counted_profile": "profiled",
    "counted_guard": "guarded",
}
"""Key of `FunctionCounts.causes` -> the counter."""

LOSSES = ("ring_full", "too_deep", "no_memory")

TOTALS = tuple(total.name.lower() for total in Total)


def in_flight(identities: bytes, functions: int) -> NDArray[np.int64]:
    """How many calls of each function are entered and not left, from what `in_flight.bpf.c` gives."""
    return np.bincount(np.frombuffer(identities, np.uint32), minlength=functions).astype(np.int64)


def losses(counts: NDArray[np.void]) -> NDArray[np.int64]:
    """Lost calls of shape (functions, LOSSES) from per-processor counters of shape (functions, processors)."""
    return np.stack([counts[cause].sum(axis=1).astype(np.int64) for cause in LOSSES], axis=1)


def function_counts(counts: NDArray[np.void], inside: NDArray[np.int64]) -> list[FunctionCounts]:
    """Conservation per function from per-processor counters of shape (functions, processors)."""
    sums = {name: counts[name].sum(axis=1) for name in COUNT.names or ()}
    return [
        FunctionCounts(
            entered=int(sums["entered"][index]),
            recorded=int(sums["recorded"][index]),
            filtered=int(sums["filtered"][index] + sums["sampled"][index] + sums["helper"][index]),
            counted=int(sums["profiled"][index] + sums["guarded"][index]),
            causes={cause: int(sums[name][index]) for cause, name in CAUSES.items() if sums[name][index]},
            unmatched=int(sums["unmatched"][index]),
            in_flight=int(inside[index]),
            lost={cause: int(sums[cause][index]) for cause in LOSSES if sums[cause][index]},
        )
        for index in range(len(counts))
    ]
