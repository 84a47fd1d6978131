"""What is a fault in the use of MPI-IO: ranks that do not work together on a file that they share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from datacrumbs.provider import Evidence, FindingRule, Suspicion
from datacrumbs_mpi.signatures import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COLLECTIVE = frozenset(name for name in DATA if re.search(r"_(all|ordered)(_|$)", name))
INDEPENDENT = DATA - COLLECTIVE


# Transfers on files that several processes make MPI-IO calls on, and of each whether it is an independent one.
def _shared(evidence: Evidence) -> Any:
    import polars as pl  # noqa: PLC0415 - the report has it; where programs are traced it may be missing

    name = pl.col("name").cast(pl.String)
    calls = evidence.calls.filter(pl.col("category").cast(pl.String) == "MPIIO", name.is_in(list(DATA)))
    several = pl.col("process").n_unique().over("path") > 1
    return (
        calls.filter(pl.col("path").is_not_null())
        .filter(several)
        .with_columns(name.is_in(list(INDEPENDENT)).alias("independent"))
    )


def without_collectives(evidence: Evidence, limits: Mapping[str, float]) -> Iterator[Suspicion]:
    """Most transfers of a shared file are made by each rank for itself."""
    import polars as pl  # noqa: PLC0415

    files = (
        _shared(evidence)
        .group_by("process", "path")
        .agg(
            pl.len().alias("calls"),
            pl.col("independent").sum().alias("own"),
            pl.col("dur").filter(pl.col("independent")).sum().alias("time"),
        )
    )
    passed = files.filter(pl.col("own") > limits["calls"], pl.col("own") > limits["part"] * pl.col("calls"))
    for row in _dearest(passed):
        text = f"{row['own']:,} of {row['calls']:,} transfers of a file that several ranks use are not collective"
        yield Suspicion(row["process"], int(row["time"]), text, "MPIIO", str(row["path"]))


def small_independent(evidence: Evidence, limits: Mapping[str, float]) -> Iterator[Suspicion]:
    """Ranks write or read small pieces of a shared file, each for itself."""
    import polars as pl  # noqa: PLC0415

    small = pl.col("independent") & (pl.col("bytes") < limits["size_bytes"])
    files = (
        _shared(evidence)
        .group_by("process", "path")
        .agg(
            pl.len().alias("calls"),
            small.sum().alias("small"),
            pl.col("dur").filter(small).sum().alias("time"),
            pl.col("bytes").filter(small).median().alias("median"),
        )
    )
    passed = files.filter(pl.col("small") > limits["calls"], pl.col("small") > limits["part"] * pl.col("calls"))
    for row in _dearest(passed):
        text = (
            f"{row['small']:,} of {row['calls']:,} transfers of a file that several ranks use are small and not "
            f"collective, half of them at most {row['median']:,.0f} bytes"
        )
        yield Suspicion(row["process"], int(row["time"]), text, "MPIIO", str(row["path"]))


# Of each process the file with the most time.
def _dearest(files: Any) -> Iterator[dict[str, Any]]:
    ordered = files.sort("process", "time", "path", descending=[False, True, False])
    yield from ordered.unique("process", keep="first", maintain_order=True).iter_rows(named=True)


RULES = (
    FindingRule(
        "mpi-no-collectives",
        "a shared file without collective transfers",
        "more than {calls:,.0f} independent transfers of a file that several ranks use, and more than {part:.0%} of "
        "all",
        "use the collective functions (MPI_File_write_at_all; HDF5: H5Pset_dxpl_mpio), so that few ranks write large "
        "pieces",
        DATA,
        without_collectives,
        {"calls": 1000, "part": 0.50},
    ),
    FindingRule(
        "mpi-small-shared",
        "small independent transfers on a shared file",
        "more than {calls:,.0f} independent transfers of less than {size} of a file that several ranks use, and more "
        "than {part:.0%} of all",
        "gather the data of several ranks or turns before it is transferred, or use collective buffering",
        DATA,
        small_independent,
        {"calls": 1000, "part": 0.10, "size_bytes": 1048576},
    ),
)
