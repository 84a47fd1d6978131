"""Ask the rules, weigh what they suspect, and say what could not be judged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from datacrumbs.model.layers import LAYERS
from datacrumbs.report.alike_rows import AlikeRows
from datacrumbs.report.call_selection import select_profiles
from datacrumbs.report.findings import SEVERITIES
from datacrumbs.report.findings.evidence import RunCalls
from datacrumbs.report.findings.gaps import Gaps, of_selection
from datacrumbs.report.findings.own_rules import own_rules
from datacrumbs.report.findings.portions import of_portion, portions
from datacrumbs.report.findings.thresholds import gates
from datacrumbs.report.human_readable import size
from datacrumbs.report.mounted import by_mount
from datacrumbs.report.nesting import every
from datacrumbs.trace.columns import by_code
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from datacrumbs.model.fault_rules import FindingRule, Suspicion
    from datacrumbs.report.call_selection import CallSelection
    from datacrumbs.report.findings.portions import Portion
    from datacrumbs.report.nesting import Near
    from datacrumbs.trace.reader import Traces

PLACES_KEPT = 20
_POSITIONED: dict[str, tuple[str, ...]] = {
    "random-reads": ("read",),
    "random-writes": ("write",),
    "redundant-reads": ("read",),
}
_POSITIONED |= {"unaligned-requests": ("read", "write")}
"""Rules about places in files -> the kinds of requests whose places must be known."""
_SIZED = frozenset({"unaligned-requests"})
"""Rules that ask how large the blocks of file systems are."""
_BLOCK = 4096
"""Smaller ones are rare: where the size is not known, shorter requests are no whole block."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault is.

    Attributes:
        host: Of the process.
        process: Its name.
        pid: Its number.
        rank: Its rank in its job, or None.
        layer: Whose calls these are.
        path: The file with the most of the time, or empty.
        share: Part of the process's I/O time.
        time_us: What the calls took.
        evidence: What was counted.
    """

    host: str
    process: str
    pid: int
    rank: int | None
    layer: str
    path: str
    share: float
    time_us: int
    evidence: str


@dataclass(frozen=True, slots=True)
class FaultFound:
    """A fault, with the processes that have it, the worst first.

    Attributes:
        rule: Its rule's name.
        severity: Of `SEVERITIES`.
        title: What it is.
        threshold: The limits that are passed.
        advice: What to try.
        processes: How many have it.
        places: The first of them.
    """

    rule: str
    severity: str
    title: str
    threshold: str
    advice: str
    processes: int
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class NotJudged:
    """Rules that were not asked, and why."""

    rules: tuple[str, ...]
    reason: str


@dataclass(slots=True)
class Findings:
    """What the rules gave.

    Attributes:
        found: The gravest first.
        not_judged: Where data was not complete.
        judged: Rules that were asked.
    """

    found: list[FaultFound] = field(default_factory=list)
    not_judged: list[NotJudged] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "findings": [asdict(each) for each in self.found],
            "not_judged": [asdict(each) for each in self.not_judged],
            "judged": self.judged,
        }

    def reach(self, severity: str) -> bool:
        """Whether a finding is of this severity or above."""
        least = SEVERITIES.index(severity)
        return any(SEVERITIES.index(each.severity) >= least for each in self.found)


def find(
    traces: Traces,
    calls: pl.LazyFrame,
    selection: CallSelection,
    foreign: Sequence[FindingRule] = (),
    near: Near | None = None,
) -> Findings:
    """Judge the calls that a selection leaves.

    Args:
        traces: Read with their details.
        calls: Those of the selection.
        selection: One of anything else than processes cannot be judged.
        foreign: Rules of providers.
        near: Gives those of the calls that reach into an interval, perhaps with others, as `Nesting` takes it.
    """
    unjudged = of_selection(selection) or _of_no_lines(traces, calls, selection)
    return _Judging(traces, calls, near or every(calls), (*own_rules(), *foreign)).findings(unjudged)


# Why nothing can be judged where no call that is selected has a line; empty where one has.
def _of_no_lines(traces: Traces, calls: pl.LazyFrame, selection: CallSelection) -> str:
    if not calls.limit(1).collect().is_empty():
        return ""
    if not select_profiles(traces, selection).is_empty():
        return "calls were only added up"
    return "no calls are selected" if selection.pids or selection.ranks else "no call has a line"


class _Judging:
    def __init__(self, traces: Traces, calls: pl.LazyFrame, near: Near, rules: tuple[FindingRule, ...]) -> None:
        self._traces = traces
        self._calls = calls
        self._near = near
        self._rules = rules
        self._gaps = Gaps(traces)
        self._found: dict[str, list[tuple[int, Place]]] = defaultdict(list)
        self._reasons: dict[str, list[str]] = defaultdict(list)

    def findings(self, unjudged: str) -> Findings:
        whole = []
        for position in range(len(self._traces.files)):
            reason = unjudged or self._gaps.of_file(position)
            if reason:
                self._refuse(reason, [rule.name for rule in self._rules])
            else:
                whole.append(position)
        by_files: dict[frozenset[int], list[FindingRule]] = defaultdict(list)
        for rule in self._rules:
            by_files[self._files_of(rule, whole)].append(rule)
        for files, rules in by_files.items():
            if files:
                self._judge(files, rules)
        asked = {rule.name for files, rules in by_files.items() if files for rule in rules}
        found = [self._summed(rule) for rule in self._rules if self._found[rule.name]]
        found.sort(key=lambda each: (-SEVERITIES.index(each.severity), -each.places[0].share, each.rule))
        refused = [NotJudged(tuple(dict.fromkeys(rules)), reason) for reason, rules in self._reasons.items()]
        return Findings(found, refused, [rule.name for rule in self._rules if rule.name in asked])

    def _refuse(self, reason: str, rules: Iterable[str]) -> None:
        self._reasons[reason] += rules

    # Those that have anything that the rule is about, and all of it.
    def _files_of(self, rule: FindingRule, whole: list[int]) -> frozenset[int]:
        good = set()
        for position in whole:
            if not self._gaps.has_any(position, rule.functions):
                continue
            reason = self._gaps.of_functions(position, rule.functions)
            if reason:
                self._refuse(reason, [rule.name])
            else:
                good.add(position)
        return frozenset(good)

    def _judge(self, files: frozenset[int], rules: list[FindingRule]) -> None:
        of_files = pl.col("trace").is_in(list(files))
        parts, left = portions(self._traces, self._calls.filter(of_files))
        for reason in left:
            self._refuse(reason, [rule.name for rule in rules])
        for part in parts:
            self._judge_portion(files, part, rules)

    # What is known of a portion is gone when the next one is looked at.
    def _judge_portion(self, files: frozenset[int], part: Portion, rules: list[FindingRule]) -> None:
        evidence = gathered(self._traces, of_portion(self._traces, self._near, part, files))
        evidence.prepare()
        for rule in rules:
            if rule.name not in _SIZED or self._knows_units(rule, evidence):
                self._ask(rule, evidence)

    def _knows_units(self, rule: FindingRule, evidence: RunCalls) -> bool:
        data = evidence.requests.filter(pl.col("kind").is_in(["read", "write"]), pl.col("bytes") >= _BLOCK)
        unknown = data["unit"].null_count()
        if unknown <= max(gates()["unplaced"] * len(data), rule.limits["requests"]):
            return True
        self._refuse(f"the sizes of blocks are not known for {unknown:,} of {len(data):,} requests", [rule.name])
        return False

    def _ask(self, rule: FindingRule, evidence: RunCalls) -> None:
        try:
            suspicions = list(rule.judge(evidence, rule.limits))
        except Exception as error:  # noqa: BLE001 - a provider's code may raise anything
            self._refuse(f"the rule failed: {type(error).__name__}: {error}", [rule.name])
            return
        for each in suspicions:
            share = each.time_us / max(evidence.io_us.get(each.process, 0), each.time_us, 1)
            severity = sum(share >= gates()[name] for name in SEVERITIES)
            seconds = each.time_us / 1_000_000
            severity = min(severity, 1 + sum(seconds >= gates()[f"{name}_seconds"] for name in SEVERITIES[1:]))
            if severity and self._is_placed(rule, evidence, each):
                place = self._place(evidence, each, share)
                self._found[rule.name].append((severity if each.grave else min(severity, 2), place))

    def _is_placed(self, rule: FindingRule, evidence: RunCalls, suspicion: Suspicion) -> bool:
        kinds = _POSITIONED.get(rule.name)
        if kinds is None:
            return True
        of_process = (pl.col("process") == suspicion.process) & pl.col("kind").is_in(kinds)
        patterns = evidence.requests.filter(of_process)["pattern"]
        unknown = patterns.null_count()
        if unknown <= gates()["unplaced"] * len(patterns):
            return True
        what = " and ".join(f"{kind}s" for kind in kinds)
        self._refuse(f"the places of {unknown:,} of {len(patterns):,} {what} are not known", [rule.name])
        return False

    def _place(self, evidence: RunCalls, each: Suspicion, share: float) -> Place:
        trace, pid = evidence.places[each.process]
        layer = LAYERS.get(each.category, each.category)
        name = self._traces.processes.get((trace, pid), "")
        host = self._traces.files[trace].host
        rank = evidence.ranks.get(each.process)
        return Place(host, name, pid, rank, layer, each.path, share, each.time_us, each.evidence)

    def _summed(self, rule: FindingRule) -> FaultFound:
        severity = SEVERITIES[max(number for number, _ in self._found[rule.name]) - 1]
        places = sorted(
            (place for _, place in self._found[rule.name]), key=lambda each: (-each.share, -each.time_us, each.pid)
        )
        sizes = {key: value for key, value in rule.limits.items() if key.endswith("_bytes")}
        words = {key.removesuffix("_bytes"): size(int(value)) for key, value in sizes.items()}
        threshold = rule.threshold.format(**rule.limits, **words)
        return FaultFound(
            rule.name, severity, rule.title, threshold, rule.advice, len(places), tuple(places[:PLACES_KEPT])
        )


# What a request should begin at a multiple of, of each call. Files are few, so each is looked up once.
def _units(traces: Traces, run: pl.Series, path: pl.Series) -> pl.Series:
    unit = pl.Series("unit", [None], pl.Int64).new_from_index(0, len(path))
    for number in run.unique():
        mounts = traces.files[number].mounts.items()
        units = {point: mount.stripe_bytes or mount.block_bytes or None for point, mount in mounts}
        if any(units.values()):
            files = pl.DataFrame({"path": path.filter(run == number).unique().drop_nulls()})
            known = files.select(by_mount(units, pl.Int64).alias("unit")).to_series()
            unit = by_code(files["path"], known, path).zip_with(run == number, unit)
    return unit.alias("unit")


def gathered(traces: Traces, calls: pl.LazyFrame) -> RunCalls:
    """The calls of a portion, each process with a number."""
    arguments = ("fd", "offset", "count", "whence", "flags")
    columns = ("tid", "category", "name", "ts", "dur", "ret", "errno", "bytes", "depth", *arguments, "order")
    frame = calls.select("run", "pid", *columns, "fhash").collect(engine="streaming")
    path = by_code(traces.paths["fhash"], traces.paths["path"].cast(pl.Categorical), frame["fhash"]).alias("path")
    process = AlikeRows([frame["run"].to_numpy(), frame["pid"].to_numpy()])
    number = process.in_order()
    places = [(run, pid) for _, (run, pid) in sorted(zip(number.tolist(), process.distinct(), strict=True))]
    processes = pl.Series("process", number[process.numbers])
    frame = frame.drop("run", "pid", "fhash").with_columns(path, _units(traces, frame["run"], path), processes)
    known = {number: traces.ranks.get(place) for number, place in enumerate(places)}
    ranks = {number: rank.rank for number, rank in known.items() if rank and rank.rank is not None}
    return RunCalls(frame, places, ranks)
