"""Ask the rules, weigh what they suspect, and say what could not be judged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from datacrumbs.report.findings import SEVERITIES
from datacrumbs.report.findings.evidence import RunCalls
from datacrumbs.report.findings.gaps import Gaps, of_selection
from datacrumbs.report.findings.own_rules import own_rules
from datacrumbs.report.findings.thresholds import gates
from datacrumbs.report.nesting import LAYERS, with_runs
from datacrumbs.report.tables import size
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from datacrumbs.model.fault_rules import FindingRule, Suspicion
    from datacrumbs.report.summary import CallSelection
    from datacrumbs.trace.reader import Traces

PLACES_KEPT = 20
_POSITIONED = {"random-reads": "read", "random-writes": "write", "redundant-reads": "read"}
"""Rules about places in files -> the kind of request whose places must be known."""


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
    traces: Traces, calls: pl.LazyFrame, selection: CallSelection, foreign: Sequence[FindingRule] = ()
) -> Findings:
    """Judge the calls that a selection leaves.

    Args:
        traces: Read with their details.
        calls: Those of the selection.
        selection: One of anything else than processes cannot be judged.
        foreign: Rules of providers.
    """
    return _Judging(traces, calls, (*own_rules(), *foreign)).findings(of_selection(selection))


class _Judging:
    def __init__(self, traces: Traces, calls: pl.LazyFrame, rules: tuple[FindingRule, ...]) -> None:
        self._traces = traces
        self._calls = calls
        self._rules = rules
        self._gaps = Gaps(traces)
        self._evidence: dict[frozenset[int], RunCalls] = {}
        self._reasons: dict[str, list[str]] = defaultdict(list)

    def findings(self, unjudged: str) -> Findings:
        result = Findings()
        whole = []
        for position in range(len(self._traces.files)):
            reason = unjudged or self._gaps.of_file(position)
            if reason:
                self._refuse(reason, [rule.name for rule in self._rules])
            else:
                whole.append(position)
        for rule in self._rules:
            found = self._ask(rule, whole)
            if found is not None:
                result.judged.append(rule.name)
                result.found += found
        result.found.sort(key=lambda each: (-SEVERITIES.index(each.severity), -each.places[0].share, each.rule))
        by_rules = [NotJudged(tuple(dict.fromkeys(rules)), reason) for reason, rules in self._reasons.items()]
        result.not_judged = by_rules
        return result

    def _refuse(self, reason: str, rules: Iterable[str]) -> None:
        self._reasons[reason] += rules

    # None where the traces have nothing that the rule is about, or not all of it.
    def _ask(self, rule: FindingRule, whole: list[int]) -> list[FaultFound] | None:
        good = []
        for position in whole:
            if not self._gaps.has_any(position, rule.functions):
                continue
            reason = self._gaps.of_functions(position, rule.functions)
            if reason:
                self._refuse(reason, [rule.name])
            else:
                good.append(position)
        if not good:
            return None
        evidence = self._of(frozenset(good))
        try:
            suspicions = list(rule.judge(evidence, rule.limits))
        except Exception as error:  # noqa: BLE001 - a provider's code may raise anything
            self._refuse(f"the rule failed: {type(error).__name__}: {error}", [rule.name])
            return None
        return self._weighed(rule, evidence, [each for each in suspicions if self._is_placed(rule, evidence, each)])

    def _of(self, good: frozenset[int]) -> RunCalls:
        # Files of one run have the same processes.
        if good not in self._evidence:
            self._evidence[good] = gathered(self._traces, self._calls, good)
        return self._evidence[good]

    def _is_placed(self, rule: FindingRule, evidence: RunCalls, suspicion: Suspicion) -> bool:
        kind = _POSITIONED.get(rule.name)
        if kind is None:
            return True
        of_process = (pl.col("process") == suspicion.process) & (pl.col("kind") == kind)
        patterns = evidence.requests.filter(of_process)["pattern"]
        unknown = patterns.null_count()
        if unknown <= gates()["unplaced"] * len(patterns):
            return True
        self._refuse(f"the places of {unknown:,} of {len(patterns):,} {kind}s are not known", [rule.name])
        return False

    def _weighed(self, rule: FindingRule, evidence: RunCalls, suspicions: list[Suspicion]) -> list[FaultFound]:
        places, worst = [], 0
        for each in suspicions:
            share = each.time_us / max(evidence.io_us.get(each.process, 0), each.time_us, 1)
            severity = sum(share >= gates()[name] for name in SEVERITIES)
            if not severity:
                continue
            worst = max(worst, severity if each.grave else min(severity, 2))
            trace, pid = evidence.places[each.process]
            layer = LAYERS.get(each.category, each.category)
            name = self._traces.processes.get((trace, pid), "")
            host = self._traces.files[trace].host
            rank = evidence.ranks.get(each.process)
            places.append(Place(host, name, pid, rank, layer, each.path, share, each.time_us, each.evidence))
        if not places:
            return []
        places.sort(key=lambda place: (-place.share, -place.time_us, place.pid))
        limits = {
            **rule.limits,
            **{
                key.removesuffix("_bytes"): size(int(value))
                for key, value in rule.limits.items()
                if key.endswith("_bytes")
            },
        }
        threshold = rule.threshold.format(**limits)
        kept = tuple(places[:PLACES_KEPT])
        return [FaultFound(rule.name, SEVERITIES[worst - 1], rule.title, threshold, rule.advice, len(places), kept)]


def gathered(traces: Traces, calls: pl.LazyFrame, files: frozenset[int]) -> RunCalls:
    """The calls of some files, each process with a number."""
    columns = [
        "tid",
        "category",
        "name",
        "ts",
        "dur",
        "ret",
        "errno",
        "bytes",
        "fd",
        "offset",
        "count",
        "whence",
        "flags",
    ]
    part = with_runs(traces, calls.filter(pl.col("trace").is_in(list(files))))
    path = pl.col("path").cast(pl.Categorical)
    frame = part.select("run", "pid", *columns, path, "order").collect(engine="streaming")
    processes = frame.select("run", "pid").unique().sort("run", "pid").with_row_index("process")
    frame = frame.join(processes, on=["run", "pid"], how="left").drop("run", "pid")
    places = [(int(trace), int(pid)) for trace, pid in processes.select("run", "pid").iter_rows()]
    known = {number: traces.ranks.get(place) for number, place in enumerate(places)}
    ranks = {number: rank.rank for number, rank in known.items() if rank and rank.rank is not None}
    return RunCalls(frame, places, ranks)
