"""What rules find, where they do not, and where they are not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.model.fault_rules import FindingRule, Suspicion
from datacrumbs.report.call_selection import CallSelection, select
from datacrumbs.report.findings import judging
from datacrumbs.report.findings.judging import Findings, find
from datacrumbs.report.findings.own_rules import own_rules
from datacrumbs.report.findings.thresholds import gates, names
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = {f"f{number}": f"/data/{number}" for number in range(101)} | {"pipe": "pipe:[7]"}
MANY = 1009


class Program:
    """Calls one after another, of one thread."""

    def __init__(self, made: Any, process: int = 7) -> None:
        self.made, self.process, self.now, self.lines = made, process, 0, []

    def call(self, name: str, duration: int = 10, category: str = "POSIX", ret: int = 0, **more: Any) -> Program:
        arguments = {"fhash": "f1", "ret": ret} | more
        self.lines.append(self.made.call(name, category, self.now, duration, process=self.process, **arguments))
        self.now += duration + 1
        return self

    def move(self, name: str, size: int, **more: Any) -> Program:
        return self.call(name, ret=size, bytes=size, **{"fd": 3, "count": size} | more)


@pytest.fixture
def judged(made, tmp_path: Path) -> Callable[..., Findings]:
    def judge(program: Program, foreign: tuple[FindingRule, ...] = (), selected: Any = None, **run: Any) -> Findings:
        path = made.write(tmp_path / "run.pfw.gz", program.lines, FILES, **run)
        traces, selection = read_traces([path], details=True), CallSelection(**(selected or {}))
        return find(traces, select(traces, selection), selection, foreign)

    return judge


@pytest.fixture
def in_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little time the calls take."""
    limits = gates() | {"warning_seconds": 0, "critical_seconds": 0}
    monkeypatch.setattr(judging, "gates", lambda: limits)


@pytest.mark.parametrize(
    ("duration", "severity"), [(90, "note"), (100, "warning"), (990, "warning"), (1000, "critical")]
)
def test_what_takes_little_time_is_not_grave(made, judged, duration: int, severity: str) -> None:
    program = Program(made).call("open", 1, ret=3, flags=0)
    for _ in range(MANY):
        program.call("write", duration, ret=1000, bytes=1000, fd=3, count=1000)
    assert found(judged(program)) == {"small-writes": severity}


def test_small_files_read_whole_are_no_small_reads(made, judged, in_any_time) -> None:
    program = Program(made)
    for turn in range(MANY):
        program.call("open", ret=3, flags=0, fhash=f"f{turn % 101}")
        program.move("read", 700, count=4096, fhash=f"f{turn % 101}")
        program.call("close", fd=3)
    assert "small-reads" not in found(judged(program))


def found(findings: Findings) -> dict[str, str]:
    return {each.rule: each.severity for each in findings.found}


def small(program: Program, count: int = MANY, size: int = 1000, name: str = "write") -> Program:
    program.call("open", ret=3, flags=0)
    for _ in range(count):
        program.move(name, size)
    return program


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ((MANY, 1000, "write"), {"small-writes": "critical"}),
        ((MANY, 65536, "write"), {"small-writes": "warning"}),  # small, but no tiny ones
        ((MANY, 1 << 20, "write"), {}),
        ((997, 1000, "write"), {}),
        ((MANY, 1000, "read"), {"small-reads": "critical"}),
    ],
)
def test_small_requests(made, judged, in_any_time, requests: tuple[int, int, str], expected: dict[str, str]) -> None:
    assert found(judged(small(Program(made), *requests))) == expected


def test_what_takes_little_of_the_time_is_no_finding(made, judged, in_any_time) -> None:
    program = small(Program(made)).call("read", 10 * MANY, ret=5, bytes=5, fd=3)
    assert found(judged(program)) == {}  # not more than half of the time


def test_small_requests_to_a_pipe_are_none(made, judged, in_any_time) -> None:
    program = Program(made)
    for _ in range(MANY):
        program.move("write", 10, fhash="pipe")
    assert found(judged(program)) == {}


@pytest.mark.parametrize(("step", "expected"), [(-1, {"random-reads"}), (1, set()), (2, set())])
def test_random_requests(made, judged, in_any_time, step: int, expected: set[str]) -> None:
    program = Program(made).call("open", ret=3, flags=0)
    for turn in range(MANY):
        program.move("pread", 1 << 20, offset=(5000 + turn * step) << 20)
    assert set(found(judged(program))) == expected


def test_requests_whose_places_are_not_known_are_not_judged(made, judged, in_any_time) -> None:
    program = Program(made)
    for turn in range(MANY):
        program.move("pread", 1 << 20, offset=(5000 - turn) << 20)
    for _ in range(101):
        program.move("read", 1 << 20, fhash="f2", fd=9)
    findings = judged(program)
    assert found(findings) == {}
    assert ("the places of 101 of 1,110 reads are not known", ("random-reads",)) in [
        (each.reason, each.rules) for each in findings.not_judged
    ]


def test_metadata(made, judged, in_any_time) -> None:
    program = Program(made)
    for _ in range(5003):
        program.call("stat", 2)
    assert found(judged(program)) == {"metadata-storm": "critical"}
    program.call("write", 20_011, ret=1 << 22, bytes=1 << 22, fd=3)
    assert found(judged(program)) == {}


@pytest.mark.parametrize(("files", "expected"), [(31, {"reopened-files": "critical"}), (101, {})])
def test_reopened_files(made, judged, in_any_time, files: int, expected: dict[str, str]) -> None:
    program = Program(made)
    for turn in range(MANY):
        program.call("open", ret=3, flags=0, fhash=f"f{turn % files}").call("close", fd=3, fhash=f"f{turn % files}")
    assert found(judged(program)) == expected


def test_syncs(made, judged, in_any_time) -> None:
    program = Program(made)
    for _ in range(101):
        program.move("write", 1 << 20).move("write", 1 << 20).call("fsync", fd=3)
    assert found(judged(program)) == {}  # one for two writes is not more than half
    for _ in range(3):
        program.call("fsync", fd=3)
    assert found(judged(program)) == {"sync-per-write": "critical"}


def test_the_same_bytes_again(made, judged, in_any_time) -> None:
    program = Program(made).call("open", ret=3, flags=0)
    for turn in range(MANY):
        program.move("pread", 2 << 20, offset=(turn % 101) << 21)
    findings = judged(program)
    assert set(found(findings)) == {"redundant-reads"}
    assert "of 202.0 MiB of the file" in findings.found[0].places[0].evidence
    program.move("pwrite", 1 << 20, offset=0)  # it may have changed what it reads
    assert set(found(judged(program))) == set()


def test_seeks(made, judged, in_any_time) -> None:
    program = Program(made).call("open", ret=3, flags=0)
    for turn in range(MANY):
        program.call("lseek", fd=3, ret=turn << 20, whence=0).move("read", 1 << 20)
    assert found(judged(program)) == {"wasted-seeks": "critical"}


def test_failures(made, judged, in_any_time) -> None:
    program = Program(made)
    for _ in range(101):
        program.call("open", ret=-1, errno=2)
    findings = judged(program)
    assert found(findings) == {"repeated-failures": "critical"}
    assert findings.found[0].places[0].evidence == "open failed 101 times with ENOENT"
    assert findings.found[0].places[0].path == "/data/1"


def test_streams(made, judged, in_any_time) -> None:
    program = Program(made)
    for _ in range(MANY):
        moved = {"ret": 4096, "bytes": 4096, "fhash": "f1"}
        program.lines.append(made.call("write", "POSIX", program.now + 1, 8, **moved, fd=3))
        program.lines.append(made.call("fwrite", "STDIO", program.now, 10, **moved))
        program.now += 11
    assert found(judged(program)) == {"stdio-buffer": "critical", "small-writes": "warning"}


def test_streams_on_a_pipe_are_none(made, judged, in_any_time) -> None:
    program = Program(made)
    for _ in range(MANY):
        moved = {"ret": 4096, "bytes": 4096, "fhash": "pipe"}
        program.lines.append(made.call("write", "POSIX", program.now + 1, 8, **moved, fd=3))
        program.lines.append(made.call("fwrite", "STDIO", program.now, 10, **moved))
        program.now += 11
    assert found(judged(program)) == {}


def test_a_wait_of_a_stream_on_a_pipe_is_no_time_of_files(made, judged, in_any_time) -> None:
    program = small(Program(made))
    alone = judged(program).found[0].places[0]
    program.lines.append(made.call("fgets", "STDIO", program.now, 1000 * MANY, ret=5, fhash="pipe"))
    assert judged(program).found[0].places[0] == alone


def ranked(made: Any, sizes: list[int], category: str = "POSIX") -> tuple[Program, list[dict[str, Any]]]:
    program = Program(made)
    names = [made.metadata("PR", {"name": "rank", "value": str(rank)}, 100 + rank) for rank in range(len(sizes))]
    for rank, number in enumerate(sizes):
        each = Program(made, 100 + rank)
        for _ in range(number):
            each.move("write" if category == "POSIX" else "MPI_File_write_at", 1 << 20, category=category)
        program.lines += each.lines
    return program, names


@pytest.mark.parametrize(("sizes", "expected"), [([97, 11, 13], True), ([97, 89, 83], False), ([97], False)])
@pytest.mark.parametrize("category", ["POSIX", "MPIIO"])
@pytest.mark.usefixtures("in_any_time")
def test_ranks(made, judged, sizes: list[int], expected: bool, category: str) -> None:
    program, names = ranked(made, sizes, category)
    if category == "MPIIO":  # one rank writes for all
        program.lines += Program(made, 100).move("write", 1 << 20).lines
    findings = judged(program, before=names)
    assert set(found(findings)) == ({"rank-imbalance"} if expected else set())
    if expected:
        (place,) = findings.found[0].places
        assert (place.rank, place.pid) == (0, 100)
        assert place.evidence == "rank 0 moved 97.0 MiB in 970 us, rank 1 11.0 MiB in 110 us, of 3 ranks"


def test_requests_of_system_calls_count_once_beside_those_of_libc(made, judged, in_any_time) -> None:
    program = Program(made)
    for _ in range(503):
        program.lines.append(made.call("write", "SYS", program.now + 1, 8, ret=10, bytes=10, fhash="f1", fd=3))
        program.call("write", 10, ret=10, bytes=10, fd=3)
    assert found(judged(program)) == {}


# ---- where data is not complete ----


def counts(name: str, **parts: int) -> dict[str, Any]:
    given = {"entered": MANY, "recorded": MANY, "filtered": 0, "counted": 0, "unmatched": 0, "in_flight": 0} | parts
    about = {
        "function": 0,
        "name": name,
        "symbol": name,
        "category": "POSIX",
        "provider": "sys",
        "layer": "system calls",
    }
    return {"name": "datacrumbs_counts", "cat": "dftracer", "ph": "M", "pid": 0, "tid": 0, "args": about | given}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"lost_ring_full": 3}, "3 of 1,009 calls of write were lost"),
        ({"counted": 3, "counted_guard": 3}, "3 calls of write were only added up"),
        ({"filtered": 3, "filtered_duration": 3}, "3 calls of write were filtered"),
        ({"counted": 1, "counted_guard": 1}, "1 call of write was only added up"),
        ({"unmatched": 11}, "the ends of 11 of 1,009 calls of write were not seen"),
    ],
)
def test_functions_that_are_not_all_there(made, judged, in_any_time, parts: dict[str, int], reason: str) -> None:
    findings = judged(small(Program(made)), after=[counts("write", **parts)])
    assert found(findings) == {}
    (unjudged,) = findings.not_judged
    assert unjudged.reason == reason
    assert "small-writes" in unjudged.rules
    assert "small-reads" not in unjudged.rules


def test_other_functions_do_not_matter(made, judged, in_any_time) -> None:
    findings = judged(small(Program(made)), after=[counts("write"), counts("fputs", lost_ring_full=3)])
    assert found(findings) == {"small-writes": "critical"}
    assert findings.not_judged == []


def test_a_sampled_function(made, judged, in_any_time) -> None:
    about = {"category": "POSIX", "name": "write", "function": "write", "symbol": "write", "one_of": 10}
    line = {"name": "datacrumbs_sampled", "cat": "dftracer", "ph": "M", "pid": 0, "tid": 0, "args": about}
    findings = judged(small(Program(made)), before=[line], after=[counts("write")])
    assert (found(findings), [each.reason for each in findings.not_judged]) == ({}, ["write was sampled (1 of 10)"])


def test_runs_that_are_not_all_there(made, judged, in_any_time) -> None:
    findings = judged(small(Program(made)), inclusion_path="/data")
    assert (found(findings), findings.judged) == ({}, [])
    (unjudged,) = findings.not_judged
    assert unjudged.rules == names()
    findings = judged(small(Program(made)), part=1)
    assert [each.reason for each in findings.not_judged] == ["part of a run: part 0 is not here"]


@pytest.mark.parametrize(
    ("added_up", "selected", "reason"),
    [(1, {}, "calls were only added up"), (1, {"pids": (8,)}, "no calls are selected"), (0, {}, "no call has a line")],
)
def test_where_no_call_has_a_line(made, judged, added_up: int, selected: dict[str, Any], reason: str) -> None:
    sums = [made.profile("write", "POSIX", 10, MANY)] * added_up
    findings = judged(Program(made), before=sums, selected=selected)
    assert [(each.rules, each.reason) for each in findings.not_judged] == [(names(), reason)]


@pytest.mark.parametrize("selected", [{"names": ("write",)}, {"paths": ("/data/*",)}, {"since": 1}])
def test_selections_are_not_judged(made, judged, in_any_time, selected: dict[str, Any]) -> None:
    findings = judged(small(Program(made)), selected=selected)
    assert (found(findings), findings.judged, len(findings.not_judged)) == ({}, [], 1)


def test_a_process_is_judged(made, judged, in_any_time) -> None:
    program, other = small(Program(made)), small(Program(made, 8))
    program.lines += other.lines
    assert judged(program).found[0].processes == 2
    (finding,) = judged(program, selected={"pids": (8,)}).found
    assert [place.pid for place in finding.places] == [8]


# ---- rules of others ----


def test_a_rule_of_a_provider(made, judged, in_any_time) -> None:
    asked = []

    def judge(evidence: Any, limits: Any) -> list[Suspicion]:
        asked.append((len(evidence.calls), len(evidence.nested), dict(limits)))
        return [Suspicion(0, 500, "500 of them", "POSIX", grave=False)]

    rule = FindingRule("own", "a fault", "more than {most:,.0f}", "stop", frozenset({"write"}), judge, {"most": 5})
    findings = judged(small(Program(made), 97, 1 << 20), (rule,))
    assert asked == [(98, 98, {"most": 5})]
    (finding,) = findings.found
    assert (finding.rule, finding.severity, finding.threshold) == ("own", "warning", "more than 5")


def test_a_rule_that_fails_is_not_judged(made, judged, in_any_time) -> None:
    rule = FindingRule("own", "a fault", "", "", frozenset({"write"}), lambda *_: 1 / 0, {})
    findings = judged(small(Program(made)), (rule,))
    assert found(findings) == {"small-writes": "critical"}
    assert [each.reason for each in findings.not_judged] == ["the rule failed: ZeroDivisionError: division by zero"]


def test_every_rule_has_its_words() -> None:
    for rule in own_rules():
        assert rule.title
        assert rule.advice
        assert rule.functions
    assert [rule.name for rule in own_rules()] == list(names())


# ---- alignment ----

ALIGNED = {"/": {"block_bytes": 4096}, "/data": {"block_bytes": 4096, "stripe_bytes": 65536}}


def mounts(made: Any, sizes: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    about = {"local": 1, "type": "ext4"}
    return [made.metadata("datacrumbs_mount", {"point": point, **about, **known}) for point, known in sizes.items()]


def shifted(made: Any, header: int, size: int, number: int = 211) -> Program:
    program = Program(made).call("open", 1, ret=3, flags=0).move("write", header)
    for _ in range(number):
        program.move("write", size)
    return program


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((100, 65536, 211), {"unaligned-requests": "warning"}),
        ((65536, 65536, 211), {}),  # at multiples of the stripe
        ((4096, 65536, 211), {"unaligned-requests": "warning"}),  # of the block, which does not count beside stripes
        ((100, 65535, 211), {}),  # less than a stripe
        ((100, 65536, 97), {}),  # a few
    ],
)
@pytest.mark.usefixtures("in_any_time")
def test_requests_beside_stripes(made, judged, shape: tuple[int, int, int], expected: dict[str, str]) -> None:
    findings = judged(shifted(made, *shape), before=mounts(made, ALIGNED))
    assert found(findings) == expected
    assert "unaligned-requests" in findings.judged


def test_where_sizes_of_blocks_are_not_known_alignment_is_not_judged(made, judged, in_any_time) -> None:
    findings = judged(shifted(made, 100, 65536), before=mounts(made, {"/": {"block_bytes": 4096}, "/data": {}}))
    assert found(findings) == {}
    (refused,) = [each for each in findings.not_judged if "unaligned-requests" in each.rules]
    assert refused.reason == "the sizes of blocks are not known for 211 of 211 requests"


# ---- ranks ----


def of_ranks(made: Any, times: list[int], sizes: list[int]) -> tuple[Program, list[dict[str, Any]]]:
    whole, before = Program(made), []
    for rank, (time, size) in enumerate(zip(times, sizes, strict=True)):
        process = 100 + rank
        about = {"rank": rank, "size": len(times)}
        before += [
            made.metadata("PR", {"hhash": "00", "name": name, "value": str(value)}, process)
            for name, value in about.items()
        ]
        one = Program(made, process).call("open", 1, ret=3, flags=0)
        for _ in range(11):
            one.move("write", size, duration=time)
        whole.lines += one.lines
    return whole, before


@pytest.mark.parametrize(
    ("times", "sizes", "expected"),
    [
        ([100_000, 1000, 1000], [1 << 20] * 3, {"slow-rank": "critical"}),
        ([1000, 1000, 1000], [1 << 20] * 3, {}),
        ([40_000, 1000, 1000], [1 << 20] * 3, {}),  # not half a second
        ([100_000, 60_000, 60_000], [1 << 20] * 3, {}),  # not twice as slow
        ([100_000, 1000, 1000], [3 << 20, 1 << 20, 1 << 20], {"rank-imbalance": "critical"}),
    ],
)
def test_a_rank_that_is_slow_with_as_many_bytes(
    made, judged, times: list[int], sizes: list[int], expected: dict[str, str]
) -> None:
    program, before = of_ranks(made, times, sizes)
    findings = judged(program, before=before)
    assert found(findings) == expected
    if "slow-rank" in expected:
        (place,) = findings.found[0].places
        assert (place.rank, place.time_us) == (0, 11 * 99_000)
