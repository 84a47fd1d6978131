"""The arithmetic of the measurements: spread, added time, goals."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, with the range between the rounds where there were several."""
    text = f"{median(values):,.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def added(traced: Sequence[float], bare: Sequence[float]) -> float:
    """What a traced run takes more: the difference of the medians, since one bad round says nothing."""
    return median(traced) - median(bare)


def ratio(traced: Sequence[float], bare: Sequence[float]) -> float:
    """The median over the rounds of traced to bare of one round: what the machine did between rounds drops out."""
    return median(mine / its for mine, its in zip(traced, bare, strict=True))


def quiet(batches: Sequence[float]) -> float:
    """The first quartile of a run's batches: what a call takes when nothing else has the processor."""
    return batches[0] if len(batches) == 1 else quantiles(batches, n=4)[0]


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached and what was.

    Args:
        what: The thing measured.
        limit: The largest allowed value, or the smallest where ``at_least``.
        measured: The value, in the same unit.
        unit: Of both.
        at_least: A larger value is better.
    """

    what: str
    limit: float
    measured: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def verdict(self) -> str:
        """``met``, or by how much it is missed."""
        if self.met:
            return "met"
        if self.limit <= 0:
            return f"missed by {number(self.measured - self.limit)} {self.unit}"
        if self.at_least:
            return f"missed: {self.measured / self.limit:.0%} of it"
        return f"missed: {self.measured / self.limit:.2g} times"

    def row(self) -> list[str]:
        """For a table: what, goal, measured, verdict."""
        bound = "at least" if self.at_least else "at most"
        goal = f"{bound} {number(self.limit)} {self.unit}".rstrip()
        return [self.what, goal, f"{number(self.measured)} {self.unit}".rstrip(), self.verdict]


def number(value: float) -> str:
    """A figure with three significant digits, whole numbers whole."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
