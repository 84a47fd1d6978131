"""Tables over calls that are not all lines of the trace: some were sampled, some added up in the kernel.

What sampling left out is counted for each function, so a function's lines stand for a known number of
calls. A sum over some of them is scaled by that, and its margin is that of stratified random sampling,
the functions being the strata: nothing of it is left where the number itself was counted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

import polars as pl

from datacrumbs.trace.profiles import histogram

if TYPE_CHECKING:
    from datacrumbs.trace.reader import Traces

STRATUM = ("run", "category", "name", "symbol")
SUMS = ("count", "errors", "bytes", "time_us")
QUANTILES = {"p50_us": 0.5, "p99_us": 0.99}
NORMAL_95 = 1.96
HALF = 0.5
"""A margin below it does not show in a whole number."""
LOST_BEFORE = frozenset({"lost_too_deep", "lost_no_memory"})
"""Calls that were lost before sampling was asked about them."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many calls of a function sampling chose, of how many."""

    chosen: int
    population: int
    one_of: int

    @property
    def factor(self) -> float:
        """How many calls each line stands for."""
        return self.population / self.chosen if self.chosen else float(self.one_of)


@dataclass(slots=True)
class _Row:
    # A row in the making: sums and their variances, and what tells its quantiles.
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))
    variances: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))
    knows_bytes: bool = False
    factors: set[float] = field(default_factory=set)
    profiled: bool = False
    quantiles: dict[str, int] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    shortest: list[int] = field(default_factory=list)
    longest: list[int] = field(default_factory=list)


def is_needed(traces: Traces) -> bool:
    """Whether any trace has calls without lines of their own."""
    return len(traces.profiles) > 0 or any(trace.sampled for trace in traces.files)


def scales(traces: Traces) -> dict[tuple[int, str, str, str], Scale]:
    """(run, category, name, symbol) -> Scale, of each sampled function; a run is the position of its first file."""
    counts: dict[tuple[Any, ...], dict[str, Any]] = {}
    sampled: dict[tuple[int, str, str, str], int] = {}
    for run, trace in zip(_runs(traces), traces.files, strict=True):
        # The counts of a run stand in its last file, what is sampled in each.
        counts |= {(run, *(line.get(key) for key in STRATUM[1:])): line for line in trace.counts}
        sampled |= {(run, *function): one_of for function, one_of in trace.sampled.items()}
    return {function: _scale(counts.get(function, {}), one_of) for function, one_of in sampled.items()}


# Of each file the position of the first file of its run.
def _runs(traces: Traces) -> list[int]:
    first: dict[object, int] = {}
    keys = [
        (trace.host, str(trace.run.get("user")), str(trace.run["run_id"])) if trace.run.get("run_id") else position
        for position, trace in enumerate(traces.files)
    ]
    return [first.setdefault(key, position) for position, key in enumerate(keys)]


def _scale(line: dict[str, Any], one_of: int) -> Scale:
    numbers = {key: value for key, value in line.items() if isinstance(value, int)}
    out = numbers.get("filtered_sampled", 0)
    filtered = numbers.get("filtered", 0) - out
    lost = sum(calls for key, calls in numbers.items() if key.startswith("lost_") and key not in LOST_BEFORE)
    chosen = numbers.get("recorded", 0) + filtered + numbers.get("counted_guard", 0) + lost
    return Scale(chosen, chosen + out, one_of)


def estimated_rows(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, keys: list[str]
) -> list[dict[str, Any]]:
    """Rows of a table over lines and profiles.

    Args:
        traces: Where they come from.
        calls: The lines to be in it.
        profiles: The profiles to be in it.
        keys: Columns that tell rows apart.

    Returns:
        Dicts of the keys, count, errors, bytes (None when unknown), time_us, p50_us, p99_us, then ``approximate``,
        the columns that are estimates, and ``margin``, of each of those whose 95 % confidence interval is known,
        half its width.
    """
    known = scales(traces)
    rows: dict[tuple[Any, ...], _Row] = defaultdict(_Row)
    texts = [pl.coalesce("symbol", "name").cast(pl.String).alias("symbol")]
    texts += [pl.col(key).cast(pl.String) for key in ("category", "name")]
    runs = pl.col("trace").cast(pl.Int64).replace_strict(dict(enumerate(_runs(traces)))).alias("run")
    calls, profiles = calls.with_columns(runs, *texts), profiles.with_columns(runs)
    grouping = list(dict.fromkeys((*keys, *STRATUM)))
    for part in calls.group_by(grouping).agg(_sums()).collect(engine="streaming").to_dicts():
        scale = known.get(tuple(part[key] for key in STRATUM))
        _add_lines(rows[tuple(part[key] for key in keys)], part, scale)
    for part in profiles.to_dicts():
        scale = known.get(tuple(part[key] for key in STRATUM))
        factor = scale.factor if scale and part["cause"] == "guard" else 1.0
        _add_profile(rows[tuple(part[key] for key in keys)], part, factor)
    for part in calls.group_by(keys).agg(_quantiles()).collect(engine="streaming").to_dicts():
        rows[tuple(part.pop(key) for key in keys)].quantiles = part
    bits = (pl.col("dur") * 1000 + 500).log(2).floor().cast(pl.Int64) + 1
    orders = calls.group_by(*grouping, bits.alias("bits")).agg(pl.len().alias("count"), pl.col("dur").max())
    for part in orders.collect(engine="streaming").to_dicts():
        scale = known.get(tuple(part[key] for key in STRATUM))
        row = rows[tuple(part[key] for key in keys)]
        row.times[part["bits"]] += part["count"] * (scale.factor if scale else 1.0)
        row.longest.append(part["dur"] * 1000 + 999)
    return [dict(zip(keys, key, strict=True)) | _finished(row) for key, row in rows.items()]


def _sums() -> list[pl.Expr]:
    columns = {
        "errors": pl.col("errno").is_not_null().cast(pl.Float64),
        "bytes": pl.col("bytes").cast(pl.Float64),
        "time_us": pl.col("dur").cast(pl.Float64),
    }
    sums = [column.sum().alias(name) for name, column in columns.items()]
    squares = [(column * column).sum().alias(f"{name}_squares") for name, column in columns.items()]
    return [pl.len().alias("count"), pl.col("bytes").is_not_null().any().alias("knows_bytes"), *sums, *squares]


def _quantiles() -> list[pl.Expr]:
    return [pl.col("dur").quantile(share, "nearest").cast(pl.Int64).alias(name) for name, share in QUANTILES.items()]


# Of a sum over some of n calls that were chosen at random of N, Cochran's estimate of the variance:
# N^2 (1 - n/N) / n times that of the numbers, which are 0 for the calls that are not in it.
def _add_lines(row: _Row, part: dict[str, Any], scale: Scale | None) -> None:
    factor = scale.factor if scale else 1.0
    row.factors.add(factor)
    row.knows_bytes |= part["knows_bytes"]
    part["count_squares"] = part["count"]
    for name in SUMS:
        row.sums[name] += part[name] * factor
        if scale and factor > 1:
            spread = part[f"{name}_squares"] - part[name] ** 2 / max(scale.chosen, 1)
            enough = scale.chosen > 1
            row.variances[name] += factor * (factor - 1) * spread * scale.chosen / (scale.chosen - 1) if enough else inf


def _add_profile(row: _Row, part: dict[str, Any], factor: float) -> None:
    row.profiled = True
    row.factors.add(factor)
    row.knows_bytes |= part["bytes"] is not None
    for name in ("count", "errors", "bytes"):
        row.sums[name] += (part[name] or 0) * factor
    if part["times"]:
        row.sums["time_us"] += part["time_ns"] / 1000 * factor
        row.shortest.append(part["shortest_ns"])
        row.longest.append(part["longest_ns"])
        for bits, calls in histogram(part["times"]).items():
            row.times[bits] += calls * factor


def _finished(row: _Row) -> dict[str, Any]:
    result: dict[str, Any] = {name: round(row.sums[name]) for name in SUMS}
    if not row.knows_bytes:
        result["bytes"] = None
    by_histogram = row.profiled or len(row.factors) > 1
    quantiles = {name: _quantile(row, share) for name, share in QUANTILES.items()} if by_histogram else row.quantiles
    sampled = any(factor > 1 for factor in row.factors)
    margins = {name: NORMAL_95 * sqrt(max(variance, 0.0)) for name, variance in row.variances.items()}
    estimates = [name for name in SUMS if margins[name] >= HALF and result[name] is not None]
    return {
        **result,
        **quantiles,
        "approximate": estimates + (list(QUANTILES) if by_histogram or sampled else []),
        "margin": {name: round(margins[name]) for name in estimates if margins[name] < inf},
    }


def _quantile(row: _Row, share: float) -> int | None:
    # Within an order of magnitude durations are taken as spread evenly.
    rest = share * sum(row.times.values())
    for bits, calls in sorted(row.times.items()):
        if rest <= calls:
            low = 1 << bits >> 1
            nanoseconds = low + rest / calls * max(low - 1, 0)
            lowest = 0 if row.quantiles else min(row.shortest)
            return round(min(max(nanoseconds, lowest), max(row.longest)) / 1000)
        rest -= calls
    return None  # calls whose returns are not seen
