"""Rows of numbers: alike ones get the same number, and they are put in order."""

from __future__ import annotations

import numpy as np
import pytest

from datacrumbs.report.alike_rows import AlikeRows, sequence

ROWS = 3001


@pytest.mark.parametrize("groups", [1, 7])
def test_rows_in_sequence_are_as_sorted_by_group_and_number(groups: int) -> None:
    random = np.random.default_rng(11)
    begin = random.integers(-(1 << 40), 1 << 40, ROWS) // (1 << 31)
    group = random.integers(0, groups, ROWS, np.uint32)
    found = sequence(begin, group if groups > 1 else None, groups)
    assert found.tolist() == np.lexsort((begin, group)).tolist()
    order = random.permutation(ROWS)
    ordered = sequence(begin, group if groups > 1 else None, groups, order)
    assert ordered.tolist() == np.lexsort((order, begin, group)).tolist()


def test_numbers_as_far_apart_as_can_be_are_in_order() -> None:
    begin = np.array([(1 << 62) - 1, -(1 << 62), 0, -(1 << 62), (1 << 62) - 1])
    group = np.array([6, 6, 6, 0, 0], np.uint32)
    assert sequence(begin, group, 7).tolist() == [3, 4, 1, 2, 0]


def test_alike_rows_have_one_number() -> None:
    random = np.random.default_rng(13)
    columns = [random.integers(-2, 3, ROWS), random.integers(0, 7, ROWS) << 40]
    alike = AlikeRows(columns)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    firsts = list(dict.fromkeys(rows))
    assert alike.count == len(firsts)
    assert alike.distinct() == firsts
    assert alike.numbers.tolist() == [firsts.index(row) for row in rows]
    places = sorted(firsts)
    assert alike.in_order().tolist() == [places.index(row) for row in firsts]
    others = [np.array([1, 7]), np.array([1 << 40, 1 << 40])]
    assert AlikeRows(alike.columns()).has(others).tolist() == [True, False]
