"""Costs that are kept between runs: believed only if nobody else can have written them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.cost_cache import KEPT, CostCache
from datacrumbs.trace.costs import CallCost

if TYPE_CHECKING:
    from pathlib import Path

COSTS = {"system call": CallCost(331, 17), "function": CallCost(1999, 101)}


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    costs = tmp_path / "lib/datacrumbs/costs"
    CostCache(costs, "a").save(COSTS)
    assert CostCache(costs, "a").load() == COSTS
    assert CostCache(costs, "c").load() == {}
    assert {place.stat().st_mode & 0o777 for place in (costs, costs.parent)} == {0o700}
    assert [path.stat().st_mode & 0o777 for path in costs.iterdir()] == [0o600]


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_directory_that_others_may_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    CostCache(tmp_path / "costs", "a").save(COSTS)
    (tmp_path / "costs").chmod(mode)
    assert CostCache(tmp_path / "costs", "a").load() == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"costs":[],"reason":""}', '{"costs":{"x":[1]},"reason":""}', '{"costs":{"x":[-1,1]}}']
)
def test_what_is_damaged_is_not_believed(tmp_path: Path, text: str) -> None:
    CostCache(tmp_path / "costs", "a").save(COSTS)
    (tmp_path / "costs/a.costs").write_text(text)
    assert CostCache(tmp_path / "costs", "a").load() == {}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    CostCache(tmp_path / "costs", "a").save(COSTS)
    (tmp_path / "costs/b.costs").symlink_to("a.costs")
    assert CostCache(tmp_path / "costs", "b").load() == {}


def test_the_oldest_go(tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        CostCache(tmp_path / "costs", str(number)).save(COSTS)
        os.utime(tmp_path / f"costs/{number}.costs", ns=(number, number))
    assert len(list((tmp_path / "costs").iterdir())) == KEPT
    assert CostCache(tmp_path / "costs", str(KEPT + 2)).load() == COSTS
