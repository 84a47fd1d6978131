"""The order of lines where it matters: an outer call before an inner one that begins in the same microsecond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tie_ranks(calls: NDArray[np.void], epoch_offset_ns: int) -> NDArray[np.uint32]:
    """How many calls of the same thread and microsecond stand outside of each call.

    Viewers sort by the start, and of equal ones take the first line as the outer call. So lines are
    written in the order of these ranks. Ties between calls that end in different batches remain.

    Args:
        calls: (n,) call records.
        epoch_offset_ns: What is added to ``start``; the cut to microseconds comes after it.

    Returns:
        (n,) ranks, 0 for almost all.
    """
    ranks = np.zeros(len(calls), dtype=np.uint32)
    if len(calls) < 2:
        return ranks
    start = calls["start"].astype(np.int64) + np.int64(epoch_offset_ns)
    begin = (start // 1000).astype(np.uint64)
    # The thread in the low half; a batch that spans more than 2^32 us would wrap, and only add false ties.
    keys = (begin - begin.min()) << np.uint64(32) | calls["thread"]
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    if not len(same):
        return ranks
    tied = order[np.unique(np.concatenate([same, same + 1]))]
    end = start[tied] + calls["duration"][tied].astype(np.int64)
    tied = tied[np.lexsort((-end, start[tied], keys[tied]))]
    fresh = np.concatenate([[True], keys[tied[1:]] != keys[tied[:-1]]])
    positions = np.arange(len(tied))
    ranks[tied] = positions - np.maximum.accumulate(np.where(fresh, positions, 0))
    return ranks
