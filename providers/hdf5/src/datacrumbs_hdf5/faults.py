"""What is a fault in the use of HDF5: a chunk cache that is too small for the chunks that are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.provider import Evidence, FindingRule, Suspicion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WRITES = frozenset({"H5Dwrite", "H5Dwrite_multi", "H5Dwrite_async"})
READS = frozenset({"read", "pread", "readv", "preadv"})
REQUESTS = READS | {"write", "pwrite", "writev", "pwritev"}


def read_in_write(evidence: Evidence, limits: Mapping[str, float]) -> Iterator[Suspicion]:
    """Reads inside of slow writes: a chunk that is written in part was not in the cache any more.

    With a cache that holds it, neither the reads nor the writes beside them would have been made in each call.
    """
    import numpy as np  # noqa: PLC0415 - the report has them; where programs are traced they may be missing
    import polars as pl  # noqa: PLC0415

    calls = evidence.nested
    name, parent = calls["name"].cast(pl.String), calls["parent"].to_numpy()
    is_write, is_request = (name.is_in(list(names)).to_numpy() for names in (WRITES, REQUESTS))
    # The outermost of several layers' requests, then the write around it.
    rows = np.flatnonzero(is_request & (parent >= 0))
    rows = rows[~is_request[parent[rows]]]
    around = parent[rows]
    while (going := (around >= 0) & ~is_write[around]).any():
        around[going] = parent[around[going]]
    rows, around = rows[around >= 0], around[around >= 0]
    columns = (pl.Series("write", around), pl.col("name").cast(pl.String).is_in(list(READS)).alias("reads"))
    inside = calls.select("process", "dur", "bytes", "path", "name")[rows].with_columns(columns)
    inside = inside.filter(pl.col("reads").any().over("write"))
    writes = calls.select("process", "dur").with_row_index("write").filter(pl.Series(is_write))
    for (process,), own in writes.partition_by("process", as_dict=True).items():
        slow = own.filter(pl.col("dur") >= own["dur"].quantile(0.9))
        requests = inside.filter(pl.col("process") == process)
        reads = requests.filter("reads")
        hit = slow.filter(pl.col("write").cast(pl.Int64).is_in(reads["write"].implode()))
        if len(reads) <= limits["reads"] or len(hit) <= limits["part"] * len(slow):
            continue
        files = requests.group_by("path").agg(pl.col("dur").sum()).sort("dur", "path", descending=[True, False])
        counted = (
            f"{len(hit):,} of the {len(slow):,} slowest writes read first; "
            f"{len(reads):,} reads of {reads['bytes'].fill_null(0).sum() / 1024:,.0f} KiB inside {len(own):,} writes"
        )
        yield Suspicion(int(process), int(requests["dur"].sum()), counted, "HDF5", str(files["path"][0] or ""))


RULES = (
    FindingRule(
        "hdf5-chunk-cache",
        "chunks are read again to be written",
        "more than {reads:,.0f} reads inside H5Dwrite, in more than {part:.0%} of the slowest tenth of its calls",
        "make the chunk cache hold all chunks that are written in turn (H5Pset_chunk_cache; h5py: rdcc_nbytes), "
        "or write whole chunks",
        WRITES | REQUESTS,
        read_in_write,
        {"reads": 100, "part": 0.10},
    ),
)
