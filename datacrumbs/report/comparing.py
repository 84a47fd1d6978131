"""Runs before a change beside runs after it, function by function: what changed, and whether that is more than noise.

Numbers of calls and bytes are exact. Whether a function became slower is decided over stretches of time: each run is
cut into `BINS` equal ones, and the mean durations of a function's calls in those of one side are compared with those of
the other by the test of Mann and Whitney. Stretches of one run are not independent of each other, so one run a side is
indicative only; with several, the runs of one side must all be beyond those of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.layers import LAYERS
from datacrumbs.report.nesting import runs, with_runs
from datacrumbs.report.row_columns import TIMED
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from datacrumbs.trace.reader import Traces

BINS = 50
FEWEST = 8
"""Stretches with calls of a function that each side needs to be judged."""
LEVEL = 0.01
EFFECT = 0.05
"""A change of the median that is smaller is none."""
FUNCTION = ("category", "name")
SLOWER, FASTER, SAME, NOISY = "slower", "faster", "same", "too noisy"
MORE, FEWER, NEW, GONE, FEW = "more calls", "fewer calls", "new", "gone", "too few calls"
REGRESSIONS = frozenset({SLOWER, MORE, NEW})
"""Verdicts on functions that take more time than before."""


@dataclass(frozen=True, slots=True)
class Side:
    """A function's calls in the runs of one side.

    Attributes:
        runs: How many there are.
        calls: Of the median run.
        bytes: Moved in it, or None where no call says.
        time_us: In its calls.
        per_call_us: Median over the stretches of time of the mean duration of a call; None where no end was seen.
    """

    runs: int
    calls: float
    bytes: float | None
    time_us: float
    per_call_us: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """How a function's calls changed.

    Attributes:
        layer: Its layer.
        name: Its name.
        before: The first side.
        after: The second.
        probability: Of such a difference between stretches of time if nothing had changed; None where not judged.
        verdict: In a word or two.
        is_proof: Whether several runs a side agree; else the verdict is indicative.
    """

    layer: str
    name: str
    before: Side
    after: Side
    probability: float | None
    verdict: str
    is_proof: bool

    @property
    def added_us(self) -> float:
        """Time of the median run after, less that of the median run before."""
        return self.after.time_us - self.before.time_us

    @property
    def effect(self) -> float | None:
        """Change of the time of a call, as a part of that before; None where one of both is not known."""
        before, after = self.before.per_call_us, self.after.per_call_us
        return after / before - 1 if before and after is not None else None

    @property
    def is_regression(self) -> bool:
        """Whether it takes more time than before."""
        return self.verdict in REGRESSIONS and self.added_us > 0


def compare(before: Sequence[pl.DataFrame], after: Sequence[pl.DataFrame]) -> list[Change]:
    """Compare all functions, those whose time changed most first.

    Args:
        before: The runs of one side, as `function_sums` has them.
        after: Those of the other.
    """
    sides = [_Runs(before), _Runs(after)]
    names = sorted({*sides[0].functions, *sides[1].functions})
    found = [_judge(name, *(side.functions.get(name) or _Function(side.count) for side in sides)) for name in names]
    return sorted(found, key=lambda change: (-abs(change.added_us), change.layer, change.name))


def function_sums(traces: Traces, calls: pl.LazyFrame) -> list[pl.DataFrame]:
    """Sums of each run that `compare` looks at, in the order of their first files.

    Args:
        traces: The runs.
        calls: Of these.

    Returns:
        By category, name and bin, one of `BINS` stretches of the run: calls, bytes (None where no call says), time and
        mean, that of durations (us) that are known.
    """
    calls = with_runs(traces, calls).with_columns(pl.col(FUNCTION).cast(pl.String))
    spans = calls.group_by("run").agg(
        pl.col("ts").min().alias("first"), (pl.col("ts").max() - pl.col("ts").min() + 1).alias("span")
    )
    stretch = ((pl.col("ts") - pl.col("first")) * BINS // pl.col("span")).alias("bin")
    timed = pl.col("dur").filter(TIMED)
    sums = (
        calls.join(spans, on="run")
        .group_by("run", *FUNCTION, stretch)
        .agg(
            pl.len().alias("calls"),
            pl.when(pl.col("bytes").is_not_null().any()).then(pl.col("bytes").sum()).alias("bytes"),
            timed.sum().alias("time"),
            timed.mean().alias("mean"),
        )
        .sort("run", *FUNCTION, "bin")
        .collect(engine="streaming")
    )
    return [sums.filter(pl.col("run") == run).drop("run") for run in dict.fromkeys(runs(traces))]


def mann_whitney(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The two-sided probability of the test of Mann and Whitney, by the normal approximation with ties.

    Args:
        one: Numbers of one side, some eight or more.
        other: Those of the other.
    """
    together = np.concatenate([one, other])
    _, place, ties = np.unique(together, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    n, m, count = len(one), len(other), len(together)
    spread = n * m / 12 * (count + 1 - (ties**3 - ties).sum() / (count * (count - 1)))
    if spread <= 0:
        return 1.0
    distance = abs(ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2)
    return erfc(max(distance - 0.5, 0) / sqrt(2 * spread))


class _Function:
    # Of a function in the runs of a side.
    def __init__(self, count: int) -> None:
        self.calls = np.zeros(count)
        self.bytes = np.full(count, np.nan)
        self.time = np.zeros(count)
        self.means: list[float] = []
        self.mean_of_run = np.full(count, np.nan)

    def side(self) -> Side:
        known = self.bytes[~np.isnan(self.bytes)]
        return Side(
            len(self.calls),
            float(np.median(self.calls)),
            float(np.median(known)) if len(known) else None,
            float(np.median(self.time)),
            float(np.median(self.means)) if self.means else None,
        )


class _Runs:
    def __init__(self, sums: Sequence[pl.DataFrame]) -> None:
        self.count = len(sums)
        self.functions: dict[tuple[str, str], _Function] = {}
        for number, of_run in enumerate(sums):
            for (category, name), part in of_run.group_by(FUNCTION, maintain_order=True):
                function = self.functions.setdefault((str(category), str(name)), _Function(self.count))
                self._add(function, number, part)

    @staticmethod
    def _add(function: _Function, number: int, part: pl.DataFrame) -> None:
        function.calls[number] = part["calls"].sum()
        function.time[number] = part["time"].sum()
        if part["bytes"].is_not_null().any():
            function.bytes[number] = part["bytes"].sum()
        means = part["mean"].drop_nulls().to_list()
        function.means += means
        if means:
            function.mean_of_run[number] = float(np.median(means))


def _judge(name: tuple[str, str], before: _Function, after: _Function) -> Change:
    several = len(before.calls) > 1 and len(after.calls) > 1
    sides = before.side(), after.side()
    enough = min(len(before.means), len(after.means)) >= FEWEST
    probability = mann_whitney(np.array(before.means), np.array(after.means)) if enough else None
    verdict = _of_calls(*sides) or _of_times(sides, probability, before, after)
    return Change(LAYERS.get(name[0], name[0]), name[1], *sides, probability, verdict, several)


# What numbers of calls say, which need no test.
def _of_calls(before: Side, after: Side) -> str:
    if not before.calls or not after.calls:
        return (NEW if after.calls else GONE) if before.calls or after.calls else SAME
    return ""


def _of_times(sides: tuple[Side, Side], probability: float | None, before: _Function, after: _Function) -> str:
    old, new = sides[0].per_call_us, sides[1].per_call_us
    changed = old is not None and new is not None and abs(new - old) > EFFECT * max(old, 1)
    if old is not None and new is not None and changed and probability is not None and probability < LEVEL:
        slower = new > old
        low, high = (before, after) if slower else (after, before)
        if _all_beyond(low.mean_of_run, high.mean_of_run):
            return SLOWER if slower else FASTER
        return NOISY
    ratio = sides[1].calls / sides[0].calls
    if abs(ratio - 1) > EFFECT:
        return MORE if ratio > 1 else FEWER
    if changed:
        return FEW if probability is None else NOISY
    return SAME


def _all_beyond(low: Iterable[float], high: Iterable[float]) -> bool:
    below: Sequence[float] = [each for each in low if not np.isnan(each)]
    above: Sequence[float] = [each for each in high if not np.isnan(each)]
    return bool(below and above) and max(below) < min(above)
