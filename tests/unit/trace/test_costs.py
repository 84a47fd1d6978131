"""What calls cost, as text and back."""

from __future__ import annotations

import pytest

from datacrumbs.trace.costs import NOT_KNOWN, CallCost, TracedCalls, cost_entries, read_costs


@pytest.mark.parametrize(
    ("low", "high", "cost"), [(100, 200, CallCost(150, 50)), (100.4, 103.4, CallCost(102, 2)), (7, 7, CallCost(7, 0))]
)
def test_an_interval_is_a_middle_and_a_margin(low: float, high: float, cost: CallCost) -> None:
    assert CallCost.between(low, high) == cost
    assert cost.bounds[0] <= round(low) <= round(high) <= cost.bounds[1]


def test_there_and_back() -> None:
    costs = {"system call": CallCost(331, 17), "function": CallCost(1999, 101)}
    entries = cost_entries(costs, {"system call": 1009, "kernel event": 23, "function": 0})
    assert entries == {"calls system call": "1009", "calls kernel event": "23", "cost system call": "331 ±17 ns"}
    assert read_costs({**entries, "kernel": "6.18"}) == [
        TracedCalls("kernel event", 23, None),
        TracedCalls("system call", 1009, CallCost(331, 17)),
    ]


def test_a_reason_takes_their_place() -> None:
    entries = cost_entries({}, {"system call": 1009}, "the run ended before it was measured")
    assert entries == {"calls system call": "1009", NOT_KNOWN: "not calibrated: the run ended before it was measured"}


@pytest.mark.parametrize("cost", ["many", "-3 ±1 ns", "3 ±1 us", "9" * 13 + " ±1 ns", "٣ ±1 ns", 7, None])
def test_what_is_no_cost_is_none(cost: object) -> None:
    assert read_costs({"calls x": "23", "cost x": cost}) == [TracedCalls("x", 23, None)]


@pytest.mark.parametrize("calls", ["many", "-1", "9" * 19, 23, None])
def test_what_is_no_number_of_calls_is_passed_over(calls: object) -> None:
    assert read_costs({"calls x": calls, "cost x": "3 ±1 ns"}) == []
