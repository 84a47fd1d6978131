"""What intervals of time, or of a file, cover together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


def fresh(group: Numbers, begin: Numbers, end: Numbers, reached: Numbers | None = None) -> Numbers:
    """How much of each interval none before it of its group covers; the sum is what a group's intervals cover.

    Args:
        group: (n,) numbers from 0, in order.
        begin: (n,) in order within each group.
        end: (n,) an interval that ends before it begins is empty.
        reached: Of each group, up to where earlier intervals cover all; None for nowhere.

    Returns:
        (n,) lengths.
    """
    if not len(begin):
        return np.zeros(0, np.int64)
    low = int(begin.min())
    width = max(int(end.max()) - low, 0) + 1
    base = group.astype(np.int64) * width
    first, last = begin - low + base, np.maximum(begin, end) - low + base
    before = base.copy()
    before[1:] = np.maximum(before[1:], np.maximum.accumulate(last)[:-1])
    if reached is not None:
        before = np.maximum(before, np.clip(reached[group] - low, 0, width) + base)
    lengths: Numbers = np.maximum(last - np.maximum(first, before), 0)
    return lengths
