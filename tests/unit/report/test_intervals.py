"""What intervals cover is counted once, also a part at a time."""

from __future__ import annotations

import random

import numpy as np

from datacrumbs.report.intervals import fresh


def test_against_a_set_of_moments() -> None:
    chooser = random.Random(23)
    for _ in range(50):
        count, groups = chooser.randrange(1, 40), 3
        rows = sorted((chooser.randrange(groups), chooser.randrange(60), chooser.randrange(20)) for _ in range(count))
        group, begin, length = (np.array(column, np.int64) for column in zip(*rows, strict=True))
        reached = np.array([chooser.randrange(70) for _ in range(groups)], np.int64)
        for known in (None, reached):
            found = fresh(group, begin, begin + length, known)
            seen = [set() if known is None else set(range(known[number])) for number in range(groups)]
            for place, (number, first, size) in enumerate(rows):
                moments = set(range(first, first + size))
                assert found[place] == len(moments - seen[number])
                seen[number] |= moments


def test_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert fresh(none, none, none).tolist() == []
    one = np.array([5], np.int64)
    assert fresh(np.zeros(1, np.int64), one, one - 3).tolist() == [0]
