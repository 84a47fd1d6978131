"""The arithmetic of the measurements, and that the page of figures is that of the figures kept beside it."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[3] / "bench"


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurements are programs, no package: they find each other by their directory."""
    monkeypatch.syspath_prepend(str(BENCH))


def load(name: str) -> Any:
    return importlib.import_module(name)


def test_a_spread_is_the_median_with_its_range() -> None:
    figures = load("_figures")
    assert figures.spread([3.0, 1.0, 2.0]) == "2.0 (1.0-3.0)"
    assert figures.spread([1234.5], 0) == "1,234"


def test_a_ratio_is_taken_in_each_round() -> None:
    # The second round was three times slower for both, which says nothing about the tracer.
    assert load("_figures").ratio([2.0, 6.0, 2.2], [1.0, 3.0, 1.0]) == 2.0


def test_of_a_runs_batches_the_disturbed_ones_do_not_count() -> None:
    assert load("_figures").quiet([10.0, 10.0, 10.0, 10.0, 900.0, 800.0, 10.0]) == 10.0
    assert load("_figures").quiet([7.0]) == 7.0


@pytest.mark.parametrize(
    ("limit", "measured", "at_least", "verdict"),
    [
        (450.0, 450.0, False, "met"),
        (450.0, 900.0, False, "missed: 2 times"),
        (1.0, 0.5, True, "missed: 50% of it"),
        (1.0, 1.0, True, "met"),
        (0.0, 3.0, False, "missed by 3 ns"),
        (-2.0, 3.0, False, "missed by 5 ns"),
    ],
)
def test_a_goal_says_by_how_much_it_is_missed(limit: float, measured: float, at_least: bool, verdict: str) -> None:
    goal = load("_figures").Goal("it", limit, measured, "ns", at_least=at_least)
    assert goal.verdict == verdict
    assert goal.met == (verdict == "met")


def test_a_result_comes_back_from_its_file() -> None:
    result, figures = load("_result"), load("_figures")
    tables = [result.Table("a", ["", "b"], [["c", "1"]])]
    made = result.Result(
        "name", "Title", "text", tables, [figures.Goal("x", 1.0, 2.0, "s")], {"f": [1]}, {"k": "6"}, 2.0
    )
    again = result.from_json(json.loads(result.to_json(made)))
    assert asdict(again) == asdict(made)
    assert "| c | 1 |" in again.markdown()


def test_the_page_is_that_of_its_figures() -> None:
    document = load("document")
    kept = json.loads(document.KEPT.read_text(encoding="utf-8"))
    assert document.page([document.from_json(one) for one in kept]) == document.PAGE.read_text(encoding="utf-8")


def test_two_checkouts_are_compared_round_by_round() -> None:
    rows = load("against").rows_of({"write": [220.0, 110.0, 330.0]}, {"write": [200.0, 100.0, 100.0]})
    assert rows == [["write", "100 (100-200)", "220 (110-330)", "1.10"]]
