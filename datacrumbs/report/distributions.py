"""How durations and sizes of a function's calls are spread, by powers of two."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.report.estimated_rows import is_needed, weighted
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.profiles import histogram

if TYPE_CHECKING:
    from datacrumbs.trace.reader import Traces

Function = tuple[str, str]
"""Category and name."""
FUNCTION = ["category", "name"]


@dataclass(slots=True)
class Distribution:
    """Calls of a function by the bits of a number: 11 are the numbers from 1024 to 2047, 0 is zero itself.

    Attributes:
        times: Of their durations in ns. Of a line's whole microseconds the middle counts, 500 ns for 0.
        sizes: Of their bytes.
    """

    times: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    sizes: dict[int, float] = field(default_factory=lambda: defaultdict(float))


def distributions(traces: Traces, marked: pl.LazyFrame, profiles: pl.DataFrame) -> dict[Function, Distribution]:
    """Of each function, over the calls that its row in the table of functions counts.

    Args:
        traces: Where they come from.
        marked: Lines as `outermost` gives them for the scope ``layer``.
        profiles: Profiles.
    """
    if is_needed(traces):
        lines, profiles = weighted(traces, marked, profiles, "layer")
    else:
        lines, profiles = marked.filter(~pl.col("within")).with_columns(factor=pl.lit(1.0)), profiles.clear()
    found: dict[Function, Distribution] = defaultdict(Distribution)
    calls, texts = pl.col("factor").sum(), pl.col(FUNCTION).cast(pl.String)
    times = lines.group_by(*FUNCTION, _bits(pl.max_horizontal("dur", 0) * 1000 + 500)).agg(calls)
    for category, name, bits, number in times.collect(engine="streaming").with_columns(texts).iter_rows():
        found[category, name].times[bits] += number
    sizes = lines.filter(pl.col("bytes").is_not_null()).group_by(*FUNCTION, _bits(pl.col("bytes"))).agg(calls)
    for category, name, bits, number in sizes.collect(engine="streaming").with_columns(texts).iter_rows():
        found[category, name].sizes[bits] += number
    for part in profiles.iter_rows(named=True):
        of_function = found[part["category"], part["name"]]
        for mine, theirs in ((of_function.times, part["times"]), (of_function.sizes, part["sizes"])):
            for bits, number in histogram(theirs or "").items():
                mine[bits] += number * part["factor"]
    return dict(found)


# Logarithms of large powers of two are not exact.
def _bits(number: pl.Expr) -> pl.Expr:
    return (64 - number.cast(pl.Int64).bitwise_leading_zeros().cast(pl.Int64)).alias("bits")
