"""Our own rules: faults that show at the border to the kernel, whatever libraries a program uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.model.fault_rules import FindingRule, Suspicion
from datacrumbs.output import counted
from datacrumbs.report.findings.evidence import KIND_OF, THREAD, on_files
from datacrumbs.report.findings.thresholds import described, names
from datacrumbs.report.human_readable import duration, size
from datacrumbs.report.intervals import fresh
from datacrumbs.report.parents import NONE, Parents
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from datacrumbs.model.fault_rules import Evidence

    Limits = Mapping[str, float]

TIME, CALLS = pl.col("dur").sum().alias("time"), pl.len().alias("calls")


def own_rules() -> tuple[FindingRule, ...]:
    """All of them, in the order in which they are reported."""
    rules = []
    for name in names():
        text = described(name)
        judge, kinds = _JUDGES[name]
        functions = frozenset(function for function, kind in KIND_OF.items() if kind in kinds)
        limits = {key: float(value) for key, value in text["limits"].items()}
        rules.append(FindingRule(name, text["title"], text["threshold"], text["advice"], functions, judge, limits))
    return tuple(rules)


# Rows of a frame with a limit passed, each with the file that has the most time of its process.
def _suspicions(
    passed: pl.DataFrame, calls: pl.DataFrame | pl.LazyFrame, sentence: Any, grave: Any = lambda _: True
) -> Iterator[Suspicion]:
    if passed.is_empty():
        return
    of = calls.select("process", "path", "category", "dur").lazy().collect()
    files = of.group_by("process", "path").agg(TIME).sort("time", "path", descending=[True, False])
    dearest = files.unique("process", keep="first", maintain_order=True).select(
        "process", pl.col("path").alias("dearest")
    )
    category = str(of["category"][0])
    for row in passed.join(dearest, on="process", how="left").sort("process").iter_rows(named=True):
        path = str(row.get("path") or row["dearest"] or "")
        yield Suspicion(row["process"], int(row["time"]), sentence(row), category, path, grave(row))


def _small(kind: str) -> Any:
    def judge(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
        requests = evidence.requests.lazy().filter(pl.col("kind") == kind, pl.col("bytes") > 0)
        # What a file has at its beginning, or up to its end, cannot be moved in larger requests.
        is_all = (pl.col("pattern") == "first").fill_null(value=False)
        is_all |= (pl.col("bytes") < pl.col("count")).fill_null(value=False)
        is_small, is_tiny = ((pl.col("bytes") < limits[key]) & ~is_all for key in ("size_bytes", "tiny_bytes"))
        sums = [
            is_small.sum().alias("small"),
            is_tiny.sum().alias("tiny"),
            pl.col("dur").filter(is_small).sum().alias("time"),
        ]
        median = pl.col("bytes").filter(is_small).median().alias("median")
        found = requests.group_by("process").agg(CALLS, *sums, median).collect()
        passed = found.filter(pl.col("small") > limits["requests"], pl.col("small") > limits["part"] * pl.col("calls"))
        passed = _with_io(passed, evidence).filter(pl.col("time") > limits["time"] * pl.col("io"))

        def sentence(row: dict[str, Any]) -> str:
            return (
                f"{row['small']:,} of {row['calls']:,} {kind}s moved less than {size(int(limits['size_bytes']))}, "
                f"{row['tiny']:,} of them less than {size(int(limits['tiny_bytes']))}; "
                f"half of them at most {size(int(row['median']))}"
            )

        return _suspicions(passed, requests.filter(is_small), sentence, lambda row: row["tiny"] > limits["requests"])

    return judge


def _with_io(frame: pl.DataFrame, evidence: Any) -> pl.DataFrame:
    return frame.with_columns(
        pl.col("process").replace_strict(evidence.io_us, default=0, return_dtype=pl.Int64).alias("io")
    )


def _random(kind: str) -> Any:
    def judge(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
        requests = evidence.requests.lazy().filter(pl.col("kind") == kind, pl.col("bytes") > 0)
        back = pl.col("pattern") == "random"
        sums = (back.sum().alias("random"), pl.col("dur").filter(back).sum().alias("time"))
        found = requests.group_by("process").agg(CALLS, *sums).collect()
        part = pl.col("random") / pl.col("calls")
        passed = found.filter(pl.col("random") > limits["requests"], part > limits["part"])

        def sentence(row: dict[str, Any]) -> str:
            return (
                f"{row['random']:,} of {row['calls']:,} {kind}s began before the end of the last one on the descriptor"
            )

        # Half of the steps between random places lead forward, so the share of all of them is about twice this.
        return _suspicions(
            passed, requests.filter(back), sentence, lambda row: 2 * row["random"] > limits["grave"] * row["calls"]
        )

    return judge


def _metadata(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    calls = evidence.requests.filter(pl.col("kind").is_in(["open", "close", "metadata"]))
    passed = _with_io(calls.group_by("process").agg(CALLS, TIME), evidence)
    much = (pl.col("calls") > limits["calls"]) & (pl.col("time") > limits["time"] * pl.col("io"))
    passed = passed.filter(much | (pl.col("time") > limits["seconds"] * 1e6))
    common = calls.group_by("process", pl.col("name").cast(pl.String)).agg(CALLS).sort("calls", "name", descending=True)
    top = {process: rows for (process,), rows in common.partition_by("process", as_dict=True).items()}

    def sentence(row: dict[str, Any]) -> str:
        most = ", ".join(f"{name} {number:,}" for _, name, number in top[row["process"]].head(3).iter_rows())
        return f"{row['calls']:,} metadata calls in {duration(row['time'])} of {duration(row['io'])}: {most}"

    return _suspicions(passed, calls, sentence)


def _reopened(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    opens = evidence.requests.filter(pl.col("kind").is_in(["open", "close"]), pl.col("errno").is_null())
    is_open = pl.col("kind") == "open"
    files = opens.group_by("process", "path").agg(is_open.sum().alias("opens"), TIME)
    often = files.filter(pl.col("opens") > limits["each"])
    found = often.group_by("process").agg(
        pl.col("opens").sum(), pl.len().alias("files"), pl.col("time").sum(), pl.col("opens").max().alias("most")
    )
    passed = found.filter(pl.col("opens") > limits["opens"])

    def sentence(row: dict[str, Any]) -> str:
        return f"{row['opens']:,} opens of {counted(row['files'], 'file')}, up to {row['most']:,} of one"

    return _suspicions(passed, opens, sentence)


def _synced(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    calls = evidence.requests.filter(pl.col("kind").is_in(["write", "sync"]))
    is_sync = pl.col("kind") == "sync"
    sums = [
        is_sync.sum().alias("syncs"),
        (~is_sync).sum().alias("writes"),
        pl.col("dur").filter(is_sync).sum().alias("time"),
    ]
    files = calls.group_by("process", "path").agg(sums)
    passed = files.filter(pl.col("syncs") > limits["syncs"], pl.col("syncs") > limits["part"] * pl.col("writes"))
    passed = passed.sort("time", "path", descending=[True, False]).unique("process", keep="first", maintain_order=True)

    def sentence(row: dict[str, Any]) -> str:
        each = duration(row["time"] / row["syncs"])
        return f"{row['syncs']:,} times to disk after {row['writes']:,} writes, {each} each"

    return _suspicions(passed, calls.filter(is_sync), sentence)


def _redundant(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    requests = evidence.requests.filter(pl.col("bytes") > 0, pl.col("kind").is_in(["read", "write"]))
    reads = requests.filter(pl.col("kind") == "read", pl.col("position").is_not_null())
    # What is written while it is read may be read again with reason.
    first = reads.group_by("process", "path").agg(pl.col("ts").min().alias("first"))
    writes = requests.filter(pl.col("kind") == "write").join(first, on=["process", "path"])
    changed = writes.filter(pl.col("ts") >= pl.col("first")).select("process", "path").unique()
    reads = reads.join(changed, on=["process", "path"], how="anti").sort("process", "path", "position")
    if reads.is_empty():
        return ()
    file = reads.select(pl.struct("process", "path").rle_id().alias("file"))["file"].to_numpy().astype(np.int64)
    begin = reads["position"].to_numpy()
    # The bytes of each that none before it has.
    reads = reads.with_columns(pl.Series("fresh", fresh(file, begin, begin + reads["bytes"].to_numpy())))
    files = reads.group_by("process", "path").agg(CALLS, pl.col("bytes", "fresh").sum(), TIME)
    passed = files.filter(pl.col("calls") > limits["requests"], pl.col("bytes") > limits["times"] * pl.col("fresh"))
    again = 1 - pl.col("fresh") / pl.col("bytes")
    passed = passed.with_columns((pl.col("time") * again).cast(pl.Int64).alias("time"))
    passed = passed.sort("time", "path", descending=[True, False]).unique("process", keep="first", maintain_order=True)

    def sentence(row: dict[str, Any]) -> str:
        return f"{size(row['bytes'])} were read in {row['calls']:,} reads, of {size(row['fresh'])} of the file"

    return _suspicions(passed, reads, sentence)


def _seeks(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    calls = evidence.requests.filter(pl.col("kind").is_in(["read", "write", "seek"]))
    is_seek = pl.col("kind") == "seek"
    sums = [
        is_seek.sum().alias("seeks"),
        (~is_seek).sum().alias("requests"),
        pl.col("dur").filter(is_seek).sum().alias("time"),
    ]
    found = calls.group_by("process").agg(sums)
    passed = found.filter(pl.col("seeks") > limits["seeks"], pl.col("seeks") > limits["part"] * pl.col("requests"))

    def sentence(row: dict[str, Any]) -> str:
        return f"{row['seeks']:,} lseek calls for {row['requests']:,} reads and writes"

    return _suspicions(passed, calls.filter(is_seek), sentence)


def _failures(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    failed = evidence.requests.filter(pl.col("errno").is_not_null())
    found = failed.group_by("process", "path", pl.col("name").cast(pl.String), "errno").agg(CALLS, TIME)
    passed = found.filter(pl.col("calls") > limits["failures"])
    passed = passed.sort("time", "path", descending=[True, False]).unique("process", keep="first", maintain_order=True)

    def sentence(row: dict[str, Any]) -> str:
        return f"{row['name']} failed {row['calls']:,} times with {_error(row['errno'])}"

    return _suspicions(passed, failed, sentence)


def _error(number: int) -> str:
    import errno  # noqa: PLC0415 - a column has that name

    return errno.errorcode.get(number, f"error {number}")


def _streams(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    calls = evidence.calls
    if not (calls["category"] == "STDIO").any():
        return ()
    parents = Parents(calls, THREAD)
    names = [name for name, kind in KIND_OF.items() if kind in {"read", "write"}]
    moving = pl.col("name").is_in(pl.Series(names, dtype=calls.schema["name"]).implode())
    data = calls.select("process", "name", "category", "path", "bytes", "dur").with_columns(
        pl.Series("parent", parents.rows()), pl.int_range(pl.len(), dtype=pl.UInt32).alias("row")
    )
    _, others = on_files(calls)
    data = data.filter(moving, pl.col("bytes") > 0, ~others)
    around = data.select(pl.when(pl.col("parent") != NONE).then("parent")).to_series()
    data = data.with_columns(calls["category"].gather(around).cast(pl.String).alias("above"))
    of_stream = pl.col("above") == "STDIO"
    top = data.filter((pl.col("above").is_null()) | of_stream)
    small = of_stream & (pl.col("bytes") < limits["size_bytes"])
    found = top.group_by("process").agg(
        small.sum().alias("calls"),
        pl.col("bytes").filter(small).sum().alias("bytes"),
        pl.col("bytes").sum().alias("all"),
        pl.col("bytes").filter(small).max().alias("buffer"),
        pl.col("dur").filter(small).sum().alias("time"),
    )
    passed = found.filter(pl.col("calls") > limits["requests"], pl.col("bytes") > limits["part"] * pl.col("all"))

    def sentence(row: dict[str, Any]) -> str:
        return (
            f"{row['calls']:,} requests of at most {size(row['buffer'])} moved {size(row['bytes'])} "
            f"of {size(row['all'])} for streams"
        )

    def in_order(of: pl.DataFrame) -> pl.DataFrame:
        place = np.empty(len(calls), np.uint32)
        place[parents.sequence()] = np.arange(len(calls), dtype=np.uint32)
        return of.sort(pl.Series(place).gather(of["row"]))

    return _suspicions(passed, top.lazy().filter(small).map_batches(in_order), sentence)


# Calls that moved bytes, of each rank their bytes and time, and of its processes the one with the most bytes.
def _ranks(moved: pl.DataFrame, evidence: Evidence) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
    found = dict.fromkeys(evidence.ranks.values(), (0, 0))
    dearest: dict[int, tuple[int, int]] = {}
    sums = moved.group_by("process").agg(pl.col("bytes").sum(), TIME).sort("process")
    for process, number, time in sums.iter_rows():
        rank = evidence.ranks.get(process)
        if rank is not None:
            found[rank] = (found[rank][0] + number, found[rank][1] + time)
            dearest[rank] = max(dearest.get(rank, (-1, -1)), (number, process))
    return found, dearest


# Where MPI-IO moves bytes, its calls say which rank has how many: a few ranks do the requests for all.
def _imbalance(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    transfers = evidence.calls.filter(pl.col("category") == "MPIIO", pl.col("bytes") > 0)
    requests = evidence.requests.filter(pl.col("kind").is_in(["read", "write"]), pl.col("bytes") > 0)
    moved = requests if transfers.is_empty() else transfers
    found, dearest = _ranks(moved, evidence)
    if len(found) < 2 or not dearest:
        return
    most, least = (choose(found, key=lambda rank: (found[rank], rank)) for choose in (max, min))
    (large, long), (small, short) = found[most], found[least]
    total = sum(time for _, time in found.values())
    if large - small > limits["bytes"] * large and long - short > limits["time"] * total:
        process = dearest[most][1]
        text = (
            f"rank {most} moved {size(large)} in {duration(long)}, "
            f"rank {least} {size(small)} in {duration(short)}, of {len(found):,} ranks"
        )
        excess = long - (total - long) // (len(found) - 1)
        yield Suspicion(process, max(excess, 0), text, str(moved["category"][0]), _longest(moved, process))


# The file on which calls of a process took most of their time.
def _longest(calls: pl.DataFrame, process: int) -> str:
    files = calls.filter(pl.col("process") == process).group_by("path").agg(TIME)
    return str(files.sort("time", "path", descending=[True, False])["path"][0] or "")


# At the border to the kernel: a call of MPI-IO also waits for other ranks.
def _slow_rank(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    moved = evidence.requests.filter(pl.col("kind").is_in(["read", "write"]), pl.col("bytes") > 0)
    found, dearest = _ranks(moved, evidence)
    if len(found) < 2 or not dearest:
        return
    slowest = max(found, key=lambda rank: (found[rank][1], rank))
    (size_there, longest), others = found[slowest], [sums for rank, sums in found.items() if rank != slowest]
    middle = float(np.median([time for _, time in others]))
    sizes = [size_there, *(number for number, _ in others)]
    alike = max(sizes) - min(sizes) <= limits["bytes"] * max(sizes)
    excess = round(longest - middle)
    if alike and longest > limits["times"] * middle and excess > limits["seconds"] * 1e6:
        process = dearest[slowest][1]
        text = (
            f"rank {slowest} moved {size(size_there)} in {duration(longest)}, "
            f"the median of the {len(others):,} others took {duration(middle)}"
        )
        yield Suspicion(process, excess, text, str(moved["category"][0]), _longest(moved, process))


def _unaligned(evidence: Evidence, limits: Limits) -> Iterable[Suspicion]:
    data = evidence.requests.filter(pl.col("kind").is_in(["read", "write"]), pl.col("position").is_not_null())
    whole = data.filter(pl.col("bytes") >= pl.col("unit"))
    beside = pl.col("position") % pl.col("unit") != 0
    sums = [
        beside.sum().alias("beside"),
        pl.col("dur").filter(beside).sum().alias("time"),
        pl.col("unit").filter(beside).max(),
    ]
    found = whole.group_by("process").agg(CALLS, *sums)
    passed = found.filter(pl.col("beside") > limits["requests"], pl.col("beside") > limits["part"] * pl.col("calls"))

    def sentence(row: dict[str, Any]) -> str:
        unit, beside, calls = size(row["unit"]), row["beside"], row["calls"]
        return f"{beside:,} of {calls:,} reads and writes of at least {unit} began inside a block of {unit}"

    return _suspicions(passed, whole.filter(beside), sentence, lambda _: False)


_JUDGES: dict[str, tuple[Any, set[str]]] = {
    "small-reads": (_small("read"), {"read"}),
    "small-writes": (_small("write"), {"write"}),
    "random-reads": (_random("read"), {"read", "open", "seek"}),
    "random-writes": (_random("write"), {"write", "open", "seek"}),
    "metadata-storm": (_metadata, {"open", "close", "metadata"}),
    "reopened-files": (_reopened, {"open", "close"}),
    "sync-per-write": (_synced, {"write", "sync"}),
    "redundant-reads": (_redundant, {"read", "write", "open", "seek"}),
    "wasted-seeks": (_seeks, {"read", "write", "seek"}),
    "repeated-failures": (_failures, {"open", "read", "write", "metadata"}),
    "stdio-buffer": (_streams, {"read", "write"}),
    "rank-imbalance": (_imbalance, {"read", "write"}),
    "slow-rank": (_slow_rank, {"read", "write"}),
    "unaligned-requests": (_unaligned, {"read", "write", "open", "seek"}),
}
