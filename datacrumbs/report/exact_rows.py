"""Rows of tables over calls that all have lines: what they say is exact.

Sums are made first, by what lines have as numbers, and only then is it seen which rows are shown; the spread of
durations is looked at for these alone. So memory holds rows and durations that differ, and not calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datacrumbs.report.node_files import by_node
from datacrumbs.report.row_columns import QUANTILES, TIMED, columns
from datacrumbs.report.row_sums import sums_and_durations
from datacrumbs.trace.columns import WORD
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.trace.reader import Traces

FILE = ["trace", "fhash"]
"""What a file is by its number, before its name is looked up."""


@dataclass(frozen=True, slots=True)
class TableShare:
    """What some runs give to a table.

    Attributes:
        parts: Sums of calls by trace, by what distinguishes rows, and by how the calls count.
        durations: By trace and by what distinguishes rows: how many calls took how long. Of tables of files, perhaps of
            some rows alone.
        files: Of a table of groups of files, those of each group.
    """

    parts: pl.DataFrame
    durations: pl.DataFrame
    files: pl.DataFrame | None = None


def exact_rows(
    traces: Traces, calls: pl.LazyFrame, keys: list[str], scope: str | None, limit: int | None, *, channels: bool
) -> list[dict[str, Any]]:
    """Rows of a table, the most time first.

    Args:
        traces: Where the calls come from.
        calls: The lines to be in it, with the columns of `outermost` and of `views.of_view`.
        keys: Columns that distinguish rows.
        scope: What is added up, see `outermost`; None where nothing is.
        limit: How many rows at most.
        channels: Whether paths are names of channels.

    Returns:
        Dicts of the keys and what `summary.table` says of rows where every call has a line.
    """
    share = exact_share(traces, calls, keys, scope, limit, channels=channels)
    # The durations of all rows that are shown are there.
    return merged_rows(traces, [share], keys, scope, limit, channels=channels) or []


def exact_share(
    traces: Traces,
    calls: pl.LazyFrame,
    keys: list[str],
    scope: str | None,
    limit: int | None = None,
    *,
    channels: bool = False,
) -> TableShare:
    """What `merged_rows` makes rows of: sums, and how many calls took how long.

    Args:
        traces: Where the calls come from: all files of some runs.
        calls: The lines, as for `exact_rows`.
        keys: Columns that distinguish rows.
        scope: What is added up.
        limit: How many rows at most will be shown of a table of files; None for all.
        channels: Whether paths are names of channels.
    """
    of_row = list(dict.fromkeys(["trace", *numbers(keys)]))
    layers = ["category"] if scope in {"file", "process"} else []
    by = list(dict.fromkeys([*of_row, *layers, "within", "known"]))
    calls = calls.with_columns(known=TIMED.fill_null(value=False))
    spread = ~pl.col("within") if "name" in keys else ~pl.col("within") & pl.col("known")
    of_some = "path" in keys and limit is not None
    parts, durations = sums_and_durations(calls, by, None if of_some else spread)
    parts = _with_texts(traces, parts, keys)
    if of_some:
        of_nodes = by_node(traces, parts, channels=channels)
        rows = _rows(of_nodes, keys, scope, limit).filter(pl.col("timed") > 0)
        files = of_nodes.join(rows.select(keys), on=keys, how="semi", nulls_equal=True)["fhash"].unique()
        of_files = calls.filter(spread, pl.col("fhash").is_in(files.implode(), nulls_equal=True))
        _, durations = sums_and_durations(of_files, by, pl.lit(value=True))
    durations = durations.group_by(*of_row, "known", "dur").agg(pl.col("calls").sum())
    durations = _with_texts(traces, durations, keys)
    return TableShare(*(frame.drop("fhash", strict=False) for frame in (parts, durations)))


def merged_rows(
    traces: Traces,
    shares: Sequence[TableShare],
    keys: list[str],
    scope: str | None,
    limit: int | None,
    *,
    channels: bool,
) -> list[dict[str, Any]] | None:
    """The rows that `exact_rows` gives of all traces, from shares of them; None where these lack durations of any.

    Args:
        traces: Their files; of the shares, the column ``trace`` is a position among these.
        shares: What `exact_share` gave.
        keys: Columns that distinguish rows.
        scope: What is added up.
        limit: How many rows at most.
        channels: Whether paths are names of channels.
    """
    parts = _together(traces, [share.parts for share in shares], keys, channels=channels)
    durations = _together(traces, [share.durations for share in shares], keys, channels=channels)
    return _with_spread(_rows(parts, keys, scope, limit), durations, keys, scope)


def count_rows(traces: Traces, shares: Sequence[TableShare], keys: list[str], *, channels: bool) -> int:
    """How many rows `merged_rows` gives without a limit."""
    parts = _together(traces, [share.parts for share in shares], keys, channels=channels)
    return parts.select(keys).unique().height


def _together(traces: Traces, frames: Sequence[pl.DataFrame], keys: list[str], *, channels: bool) -> pl.DataFrame:
    together = pl.concat(frames, how="vertical_relaxed")
    return by_node(traces, together, channels=channels) if "path" in keys else together


def numbers(keys: list[str]) -> list[str]:
    """The columns of calls that `named` makes keys of."""
    return [number for key in keys for number in (FILE if key == "path" else [key])]


def _rows(parts: pl.DataFrame, keys: list[str], scope: str | None, limit: int | None) -> pl.DataFrame:
    rows = parts.group_by(keys).agg(_measures(keys, scope))
    order = ["time_us", *keys]
    rows = rows.sort(order, descending=[True, *[False] * len(keys)], nulls_last=True)
    return rows if limit is None else rows.head(limit)


def named(traces: Traces, parts: pl.DataFrame, keys: list[str], *, channels: bool) -> pl.DataFrame:
    """Parts of rows with texts for what is a number, and names for files.

    Args:
        traces: Where they come from.
        parts: With the columns of `numbers`.
        keys: Columns that distinguish rows.
        channels: Whether paths are names of channels.
    """
    parts = _with_texts(traces, parts, keys)
    return by_node(traces, parts, channels=channels) if "path" in keys else parts


def _with_texts(traces: Traces, parts: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    if "path" in keys:
        parts = parts.join(traces.paths, on="fhash", how="left")
    words = [name for name, kind in parts.schema.items() if kind == WORD and name != "fhash"]
    return parts.with_columns(pl.col(words).cast(pl.String))


def _measures(keys: list[str], scope: str | None) -> list[pl.Expr]:
    counted = ~pl.col("within")
    known = _known(keys)
    measures = [
        pl.col("calls").filter(counted).sum().alias("count"),
        pl.col("failed").filter(counted).sum().alias("errors"),
        pl.when(pl.col("sized").any()).then(pl.col("moved").sum()).alias("bytes"),
        pl.when(known.any()).then(pl.col("took").filter(known).sum()).alias("time_us"),
        pl.col("longest").filter(known).max().alias("max_us"),
        pl.col("calls").filter(known).sum().alias("timed"),
        (pl.col("moved").sum() / pl.col("movers").sum()).round().cast(pl.Int64, strict=False).alias("mean_bytes"),
        pl.when(known.any()).then(pl.col("waited").filter(known).sum()).alias("waits_us"),
        pl.col("opened").filter(counted).sum().alias("opens"),
        pl.col("begin").min().alias("begin_us"),
        pl.col("end").max().alias("end_us"),
    ]
    if scope == "layer":
        measures.append(pl.col("calls").filter("within").sum().alias("nested"))
    elif scope:
        measures.append(pl.col("category").filter(counted | pl.col("moves")).unique().alias("layers"))
    return measures


# Which parts have a known duration: a function without a result has one, too.
def _known(keys: list[str]) -> pl.Expr:
    return (pl.col("known").any() if "name" in keys else pl.col("known")) & ~pl.col("within")


# The quantile is the duration in its place, counted from 0 and rounded, among all of the row. None where the durations
# are not those of all calls of each row.
def _with_spread(
    rows: pl.DataFrame, durations: pl.DataFrame, keys: list[str], scope: str | None
) -> list[dict[str, Any]] | None:
    if "name" not in keys:
        durations = durations.filter("known")
    shown = rows.filter(pl.col("timed") > 0).select(keys)
    durations = durations.join(shown, on=keys, how="semi", nulls_equal=True)
    found = durations.group_by(*keys, "dur").agg(pl.col("calls").sum()).sort(*keys, "dur")
    last, place = pl.col("calls").sum() - 1, pl.col("calls").cum_sum()
    quantiles = [
        pl.col("dur").filter(place > (last * share).round(mode="half_away_from_zero")).first().alias(name)
        for name, share in QUANTILES.items()
    ]
    spread = found.group_by(keys, maintain_order=True).agg(*quantiles, pl.col("calls").sum().alias("spread"))
    rows = rows.join(spread, on=keys, how="left", nulls_equal=True, maintain_order="left")
    if rows.select((pl.col("spread").fill_null(0) != pl.col("timed")).any()).item():
        return None
    return [_in_order(row, keys, scope) for row in rows.to_dicts()]


def _in_order(row: dict[str, Any], keys: list[str], scope: str | None) -> dict[str, Any]:
    if not row["timed"]:
        row |= dict.fromkeys(QUANTILES)
    layers = ["layers"] if scope in {"file", "process"} else []
    return {name: row[name] for name in (*keys, *layers, *columns(scope))}
