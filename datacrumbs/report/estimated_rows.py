"""Tables over calls that are not all lines of the trace: some were sampled, some added up in the kernel.

What sampling left out is counted for each function, so a function's lines represent a known number of
calls. A sum over some of them is scaled by that, and its margin is that of stratified random sampling,
the functions being the strata: nothing of it is left where the number itself was counted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

from datacrumbs.report.nesting import outermost, rank, runs
from datacrumbs.report.row_columns import QUANTILES, TIMED, columns
from datacrumbs.trace.columns import WORD
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.profiles import histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.trace.reader import Traces

STRATUM = ("run", "category", "name", "symbol")
SUMS = ("count", "errors", "bytes", "time_us")
NORMAL_95 = 1.96
MORE = ("mean_bytes", "waits_us", "opens")
"""Estimates without a margin."""
HALF = 0.5
"""A margin below it does not show in a whole number."""
SHARE = "portion"
"""Column of profiles of which only some calls belong to a row: their part of all that were added up."""
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
        """How many calls each line represents."""
        return self.population / self.chosen if self.chosen else float(self.one_of)


@dataclass(slots=True)
class _Row:
    # A row in the making: sums and their variances, and what its quantiles are found from.
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))
    variances: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))
    nested: float = 0.0
    timed: float = 0.0
    seen: bool = False
    layers: set[str] = field(default_factory=set)
    knows_bytes: bool = False
    movers: float = 0.0
    opened: float = 0.0
    waited: float = 0.0
    begin: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    factors: set[float] = field(default_factory=set)
    profiled: bool = False
    spread: bool = False
    lacks: bool = False
    quantiles: dict[str, int] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    shortest: list[int] = field(default_factory=list)
    longest: list[int] = field(default_factory=list)
    slowest_us: list[float] = field(default_factory=list)


def is_needed(traces: Traces) -> bool:
    """Whether any trace has calls without lines of their own."""
    return bool(_partial(traces))


# The files of runs of which not every call has a line, by their positions.
def _partial(traces: Traces) -> list[int]:
    without = {position for position, trace in enumerate(traces.files) if trace.sampled}
    without |= set(traces.profiles["trace"].unique().to_list())
    of_run = runs(traces)
    in_run = {of_run[position] for position in without}
    return [position for position, run in enumerate(of_run) if run in in_run]


def scales(traces: Traces) -> dict[tuple[int, str, str, str], Scale]:
    """(run, category, name, symbol) -> Scale, of each sampled function; a run is the position of its first file."""
    counts: dict[tuple[Any, ...], dict[str, Any]] = {}
    sampled: dict[tuple[int, str, str, str], int] = {}
    for run, trace in zip(runs(traces), traces.files, strict=True):
        # The counts of a run are in its last file, what is sampled in each.
        counts |= {(run, *(line.get(key) for key in STRATUM[1:])): line for line in trace.counts}
        sampled |= {(run, *function): one_of for function, one_of in trace.sampled.items()}
    return {function: _scale(counts.get(function, {}), one_of) for function, one_of in sampled.items()}


def _scale(line: dict[str, Any], one_of: int) -> Scale:
    numbers = {key: value for key, value in line.items() if isinstance(value, int)}
    out = numbers.get("filtered_sampled", 0)
    filtered = numbers.get("filtered", 0) - out
    lost = sum(calls for key, calls in numbers.items() if key.startswith("lost_") and key not in LOST_BEFORE)
    chosen = numbers.get("recorded", 0) + filtered + numbers.get("counted_guard", 0) + lost
    return Scale(chosen, chosen + out, one_of)


def estimated_rows(
    traces: Traces,
    calls: pl.LazyFrame,
    profiles: pl.DataFrame,
    keys: list[str],
    scope: str | None,
    *,
    names: tuple[str, ...] | None = None,
) -> list[dict[str, Any]]:
    """Rows of a table over lines and profiles.

    Args:
        traces: Where they come from.
        calls: The lines to be in it with the columns of `views.of_view`, and for the scope ``layer`` those of
            `outermost`.
        profiles: The profiles to be in it, likewise; where rows are of parts of them, with `SHARE`.
        keys: Columns that distinguish rows.
        scope: What is added up, see `outermost`; None where nothing is.
        names: Globs of functions; of those none of whose calls was chosen, the number of calls is added. None to add
            none, where calls are selected otherwise.

    Returns:
        Dicts of the keys, for the scopes ``file`` and ``process`` layers and opens, for ``layer`` nested, and for all
        count, errors (None when no call has a line), bytes (None when unknown), mean_bytes (of a call that moved any),
        time_us, waits_us (the part of it that was spent waiting), p50_us, p90_us, p99_us, max_us, timed, begin_us and
        end_us (epoch), then ``approximate``, the columns that are estimates, and ``margin``, of each of those whose
        95 % confidence interval is known, half its width.
    """
    known = scales(traces)
    rows: dict[tuple[Any, ...], _Row] = defaultdict(_Row)
    calls, profiles = _once(traces, calls, profiles, scope)
    calls = _with_timed(calls, keys)
    grouping = list(dict.fromkeys((*keys, *STRATUM, "within")))
    for part in calls.group_by(grouping).agg(_sums()).collect(engine="streaming").to_dicts():
        scale = known.get(tuple(part[key] for key in STRATUM))
        _add_lines(rows[tuple(part[key] for key in keys)], part, scale)
    for part in profiles.to_dicts():
        scale = known.get(tuple(part[key] for key in STRATUM))
        factor = scale.factor if scale and part["cause"] == "guard" else 1.0
        _add_profile(rows[tuple(part[key] for key in keys)], part, factor)
    calls = calls.filter(~pl.col("within"))
    for part in calls.group_by(keys).agg(_quantiles()).collect(engine="streaming").to_dicts():
        row = rows[tuple(part.pop(key) for key in keys)]
        row.slowest_us += filter(None, [part.pop("max_us")])
        row.quantiles = part
    bits = (pl.col("dur") * 1000 + 500).log(2).floor().cast(pl.Int64) + 1
    orders = calls.filter("timed").group_by(*grouping, bits.alias("bits"))
    for part in orders.agg(pl.len().alias("count"), pl.col("dur").max()).collect(engine="streaming").to_dicts():
        scale = known.get(tuple(part[key] for key in STRATUM))
        row = rows[tuple(part[key] for key in keys)]
        row.times[part["bits"]] += part["count"] * (scale.factor if scale else 1.0)
        row.longest.append(part["dur"] * 1000 + 999)
    for key, number in _unseen(known, keys, names):
        rows[key].sums["count"] += number
        rows[key].lacks = True
    return [dict(zip(keys, key, strict=True)) | _finished(row, scope) for key, row in rows.items()]


# The rows of functions none of whose calls sampling chose, and how many calls each adds.
def _unseen(
    known: dict[tuple[int, str, str, str], Scale], keys: list[str], names: tuple[str, ...] | None
) -> Iterator[tuple[tuple[str, ...], int]]:
    if names is None or not set(keys) <= {"category", "name"}:
        return
    for (_, category, name, _), scale in known.items():
        wanted = not names or any(fnmatchcase(name, glob) for glob in names)
        if wanted and not scale.chosen and scale.population:
            yield tuple({"category": category, "name": name}[key] for key in keys), scale.population


# The calls as each counts in the sums of a scope. Where every call of a run has a line, what is inside which is known.
def _once(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, scope: str | None
) -> tuple[pl.LazyFrame, pl.DataFrame]:
    if scope not in {"file", "process"}:
        calls, profiles = _with_strata(traces, calls, profiles)
        return calls, profiles.with_columns(pl.lit(value=False).alias("within"))
    partial = _partial(traces)
    in_part = pl.col("trace").cast(pl.Int64).is_in(partial)
    part, profiles = _with_strata(traces, calls.filter(in_part), profiles)
    part, profiles = _covered(part, profiles)
    if len(partial) == len(traces.files):
        return part, profiles
    whole, _ = _with_strata(traces, outermost(traces, calls.filter(~in_part), scope), profiles)
    return pl.concat([part, whole], how="diagonal_relaxed"), profiles


def weighted(
    traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame, scope: str
) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """The lines and profiles of which the sums of a process or a layer are made, for drawing them over time or size.

    Args:
        traces: Where they come from.
        calls: Lines, for the scope ``layer`` with the columns of `outermost`.
        profiles: Profiles.
        scope: ``process`` or ``layer``.

    Returns:
        Both with ``factor``: how many calls each represents. Only those that count are left.
    """
    calls, profiles = _with_strata(traces, calls, profiles)
    if scope == "process":
        calls, profiles = _covered(calls, profiles)
        profiles = profiles.filter(~pl.col("within"))
    calls = calls.filter(~pl.col("within"))
    rows = [(*function, scale.factor) for function, scale in scales(traces).items()]
    schema = {"run": pl.Int64, "category": pl.String, "name": pl.String, "symbol": pl.String, "factor": pl.Float64}
    factors = pl.DataFrame(rows, schema, orient="row")
    factor = pl.col("factor").fill_null(1.0)
    calls = calls.join(factors.lazy(), on=STRATUM, how="left").with_columns(factor)
    of_guard = pl.when(pl.col("cause") == "guard").then(factor).otherwise(1.0).alias("factor")
    return calls, profiles.join(factors, on=STRATUM, how="left").with_columns(of_guard)


def _with_strata(traces: Traces, calls: pl.LazyFrame, profiles: pl.DataFrame) -> tuple[pl.LazyFrame, pl.DataFrame]:
    texts = [pl.coalesce("symbol", "name").cast(pl.String).alias("symbol")]
    schema = calls.collect_schema()
    texts += [pl.col(key).cast(pl.String) for key, kind in schema.items() if kind == WORD and key != "symbol"]
    run = pl.col("trace").cast(pl.Int64).replace_strict(dict(enumerate(runs(traces))), return_dtype=pl.Int64)
    return calls.with_columns(run.alias("run"), *texts), profiles.with_columns(run.alias("run"))


# Which calls have a known duration. Rows are put together from groups smaller than those of `keys`.
def _with_timed(calls: pl.LazyFrame, keys: list[str]) -> pl.LazyFrame:
    if "name" not in keys:
        return calls.with_columns(TIMED.alias("timed"))
    # A function without a result has one, too.
    known = calls.group_by(keys).agg(TIMED.any().alias("timed")).collect(engine="streaming")
    return calls.join(known.lazy(), on=keys, how="left", nulls_equal=True)


def _quantiles() -> list[pl.Expr]:
    duration = pl.col("dur").filter("timed")
    shares = [duration.quantile(share, "nearest").cast(pl.Int64).alias(name) for name, share in QUANTILES.items()]
    return [*shares, duration.max().alias("max_us")]


# Which calls are inside which is not known of calls that were added up. Of those of a process on a file, the calls of
# the highest layer that moved bytes count.
def _covered(calls: pl.LazyFrame, profiles: pl.DataFrame) -> tuple[pl.LazyFrame, pl.DataFrame]:
    place = ["run", "pid", "fhash"]
    moves = (pl.col("bytes") > 0).fill_null(value=False).alias("moved")
    calls, profiles = calls.with_columns(rank()), profiles.with_columns(rank())
    both = pl.concat(
        [frame.select(*place, "rank", moves) for frame in (calls, profiles.lazy())], how="vertical_relaxed"
    )
    carrying = pl.when("moved").then("rank").min()
    found = both.group_by(place).agg(pl.coalesce(carrying, pl.col("rank").min()).alias("counted"))
    layers = found.collect(engine="streaming")
    within = (pl.col("rank") != pl.col("counted")).alias("within")
    joined = calls.join(layers.lazy(), on=place, how="left", nulls_equal=True).with_columns(within)
    joined = joined.with_columns(pl.when(~pl.col("within")).then("bytes").alias("own_bytes"))
    return joined, profiles.join(layers, on=place, how="left", nulls_equal=True).with_columns(within)


def _sums() -> list[pl.Expr]:
    columns = {
        "errors": pl.col("errno").is_not_null().cast(pl.Float64),
        "bytes": pl.col("own_bytes").cast(pl.Float64),
        "time_us": pl.col("dur").cast(pl.Float64),
    }
    sums = [column.sum().alias(name) for name, column in columns.items()]
    squares = [(column * column).sum().alias(f"{name}_squares") for name, column in columns.items()]
    known = pl.col("bytes").is_not_null().any().alias("knows_bytes")
    owns = pl.col("own_bytes").is_not_null().any().alias("owns_bytes")
    more = [
        pl.col("own_bytes").is_not_null().sum().alias("movers"),
        pl.col("opening").sum().alias("opened"),
        pl.col("dur").filter("waiting").sum().alias("waited"),
        pl.col("ts").min().alias("begin"),
        pl.col("end").max(),
    ]
    return [pl.len().alias("count"), pl.col("timed").sum(), known, owns, *sums, *squares, *more]


# Of a sum over some of n calls that were chosen at random of N, Cochran's estimate of the variance:
# N^2 (1 - n/N) / n times that of the numbers, which are 0 for the calls that are not in it.
def _add_lines(row: _Row, part: dict[str, Any], scale: Scale | None) -> None:
    factor = scale.factor if scale else 1.0
    row.movers += part["movers"] * factor
    row.begin.append(part["begin"])
    row.end.append(part["end"])
    if part["within"]:
        row.nested += part["count"] * factor
        row.knows_bytes |= part["knows_bytes"]
        if part["owns_bytes"]:  # inside another call, whose bytes they are not
            row.sums["bytes"] += part["bytes"] * factor
            row.layers.add(part["category"])
        return
    row.seen = True
    row.layers.add(part["category"])
    row.opened += part["opened"] * factor
    row.waited += part["waited"] * factor
    row.timed += part["timed"] * factor
    row.factors.add(factor)
    row.knows_bytes |= part["knows_bytes"]
    part["count_squares"] = part["count"]
    for name in SUMS:
        row.sums[name] += part[name] * factor
        if scale and factor > 1:
            spread = part[f"{name}_squares"] - part[name] ** 2 / max(scale.chosen, 1)
            enough = scale.chosen > 1
            if name == "count" and part["count"] == scale.chosen:
                continue  # all that were chosen: how many there are was counted
            row.variances[name] += factor * (factor - 1) * spread * scale.chosen / (scale.chosen - 1) if enough else inf


def _add_profile(row: _Row, part: dict[str, Any], factor: float) -> None:
    row.begin.append(part["begin"])
    row.end.append(part["end"])
    if part["within"]:
        row.nested += part["count"] * factor
        row.knows_bytes |= part["bytes"] is not None
        return
    row.layers.add(part["category"])
    row.seen = row.profiled = True
    share = part.get(SHARE, 1.0)
    row.spread |= share < 1
    row.factors.add(factor)
    row.knows_bytes |= part["bytes"] is not None
    row.movers += (part["count"] if part["bytes"] is not None else 0) * factor
    row.opened += (part["count"] - part["errors"] if part["opening"] else 0) * factor
    row.waited += ((part["time_ns"] or 0) / 1000 if part["waiting"] else 0) * factor
    for name in ("count", "errors", "bytes"):
        row.sums[name] += (part[name] or 0) * factor
    if part["times"]:
        row.timed += part["count"] * factor
        row.sums["time_us"] += part["time_ns"] / 1000 * factor
        row.shortest.append(part["shortest_ns"])
        row.longest.append(part["longest_ns"])
        row.slowest_us.append(part["longest_ns"] / 1000)
        for bits, calls in histogram(part["times"]).items():
            row.times[bits] += calls * factor * share


def _finished(row: _Row, scope: str | None) -> dict[str, Any]:
    result: dict[str, Any] = {"layers": row.layers, "nested": round(row.nested), "opens": round(row.opened)}
    result |= {name: round(row.sums[name]) for name in SUMS}
    result["mean_bytes"] = round(row.sums["bytes"] / row.movers) if row.movers else None
    result["waits_us"] = round(row.waited) if row.timed else None
    result["begin_us"], result["end_us"] = min(row.begin, default=None), max(row.end, default=None)
    if not row.knows_bytes:
        result["bytes"] = None
    if not row.timed:
        result["time_us"] = None
    if not row.seen and not row.nested:
        result["errors"] = None
    by_histogram = row.profiled or len(row.factors) > 1
    spread = {
        name: _quantile(row, share) if by_histogram else row.quantiles.get(name) for name, share in QUANTILES.items()
    }
    spread["max_us"] = max(row.slowest_us, default=0 if row.timed else None)
    sampled = any(factor > 1 for factor in row.factors)
    margins = {name: NORMAL_95 * sqrt(max(variance, 0.0)) for name, variance in row.variances.items()}
    # Of calls that were not chosen only their number is known, however alike those are that were.
    guessed = set(SUMS) - {"count"} if sampled or row.lacks else set()
    estimates = [name for name in SUMS if (margins[name] >= HALF or name in guessed) and result[name] is not None]
    result |= {**spread, "timed": round(row.timed)}
    layers = () if scope in {None, "layer"} else ("layers",)
    shown = {name: result[name] for name in (*layers, *columns(scope))}
    if row.spread:
        numbers = [name for name in columns(scope) if name not in {"nested", "timed"} and result[name] is not None]
        return {**shown, "approximate": numbers, "margin": {}}
    return {
        **shown,
        "approximate": estimates
        + (list(QUANTILES) if by_histogram or sampled else [])
        + (["max_us", *(name for name in MORE if name in columns(scope))] if sampled else []),
        "margin": {name: round(margins[name]) for name in estimates if HALF <= margins[name] < inf},
    }


def _quantile(row: _Row, share: float) -> float | None:
    # Within an order of magnitude durations are taken as spread evenly.
    rest = share * sum(row.times.values())
    for bits, calls in sorted(row.times.items()):
        if rest <= calls:
            low = 1 << bits >> 1
            nanoseconds = low + rest / calls * max(low - 1, 0)
            lowest = 0 if row.quantiles else min(row.shortest)
            microseconds = min(max(nanoseconds, lowest), max(row.longest)) / 1000
            # Of lines nothing below a microsecond is known.
            return round(microseconds) if microseconds >= 1 or row.quantiles else round(microseconds, 3)
        rest -= calls
    return None  # calls whose returns are not seen
