"""What tracing a call costs the program that makes it, as a trace's provenance has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_KNOWN = "cost"
"""Key of the reason why there are no costs."""
NOT_CALIBRATED = "not calibrated: "
"""What the reason begins with."""
_COST, _CALLS = "cost ", "calls "
_INTERVAL = re.compile(r"(\d{1,12}) ±(\d{1,12}) ns", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CallCost:
    """What one call takes longer because it is traced: nanoseconds, and how far they may be off either way."""

    nanoseconds: int
    margin: int

    @classmethod
    def between(cls, low: float, high: float) -> CallCost:
        """A cost that is somewhere in an interval."""
        middle = round((low + high) / 2)
        return cls(middle, max(round(high) - middle, middle - round(low)))

    @property
    def bounds(self) -> tuple[int, int]:
        """The interval."""
        return self.nanoseconds - self.margin, self.nanoseconds + self.margin


@dataclass(frozen=True, slots=True)
class TracedCalls:
    """Calls that are captured in one way.

    Args:
        way: How, in words.
        calls: How many a run had.
        cost: What each costs; None where that was not measured.
    """

    way: str
    calls: int
    cost: CallCost | None


def cost_entries(costs: Mapping[str, CallCost], calls: Mapping[str, int], reason: str = "") -> dict[str, str]:
    """Keys and texts for the provenance.

    Args:
        costs: Way -> cost.
        calls: Way -> how many calls the run had.
        reason: Why there are no costs.
    """
    entries = {f"{_CALLS}{way}": str(number) for way, number in calls.items() if number}
    known = {way: cost for way, cost in costs.items() if calls.get(way)}
    entries |= {f"{_COST}{way}": f"{cost.nanoseconds} ±{cost.margin} ns" for way, cost in known.items()}
    return entries | ({NOT_KNOWN: f"{NOT_CALIBRATED}{reason}"} if reason else {})


def read_costs(provenance: Mapping[str, object]) -> list[TracedCalls]:
    """What `cost_entries` made; entries that say something else are passed over."""
    found = []
    for key, value in sorted(provenance.items()):
        if not (key.startswith(_CALLS) and isinstance(value, str) and _NUMBER.fullmatch(value)):
            continue
        way = key.removeprefix(_CALLS)
        text = provenance.get(f"{_COST}{way}")
        interval = _INTERVAL.fullmatch(text) if isinstance(text, str) else None
        cost = CallCost(int(interval[1]), int(interval[2])) if interval else None
        found.append(TracedCalls(way, int(value), cost))
    return found
