"""Reports on traces in which not every call has a line: they agree with reports on traces in which each has."""

from __future__ import annotations

import gzip
import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.model.plan import Argument, Attach, Function, Group, Mode, Plan, Result, Role, Target
from datacrumbs.model.record import PROFILE, RECORD, Batch, CallFlag, FunctionCounts, Name, NameKind, ProfileCause
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.profiles import histogram, histogram_text
from datacrumbs.trace.writer import TraceWriter

from .printed import data_of

if TYPE_CHECKING:
    from pathlib import Path

CALLS = 20011
ONE_OF = 10
START = 10**15
FD = Argument(0, "fd", "int", Role.FD, 4)
WRITE = Function("write", "write", "POSIX", 1, arguments=(FD,), result=Result.BYTES)
SYNC = Function("fsync", "fsync", "POSIX", 74, arguments=(FD,), result=Result.STATUS)
GROUP = Group("sys", "system calls", Attach.SYSCALL, Target("", "6.1"), (WRITE,))
REST = replace(GROUP, functions=(SYNC,))
NAMES = (Name(1, NameKind.PATH, 0, "/data/one"), Name(2, NameKind.PATH, 0, "/data/two"))


def calls(seed: int = 1) -> np.ndarray:
    """Writes of many sizes and durations on two files, some of which fail, and a few fsyncs."""
    random = np.random.default_rng(seed)
    made = np.zeros(CALLS, RECORD)
    made["start"] = START + np.arange(CALLS) * 10_000 + random.integers(0, 1000, CALLS)
    made["duration"] = (random.lognormal(8, 1.5, CALLS)).astype(np.uint64) + 100
    made["process"] = 4711
    made["thread"] = 4711 + np.arange(CALLS) % 1009  # no thread is in two calls at once
    made["function"] = np.arange(CALLS) % 101 == 0
    made["file"] = 1 + (random.random(CALLS) < 0.3)
    failed = random.random(CALLS) < 0.01
    made["flags"] = CallFlag.RETURNED | np.where(failed, CallFlag.FAILED, 0)
    made["errno"] = np.where(failed, 28, 0)
    made["result"] = np.where(failed, -1, np.where(made["function"] == 0, random.integers(0, 1 << 20, CALLS), 0))
    return made


def summed(rows: np.ndarray, cause: ProfileCause = ProfileCause.PROFILE) -> np.ndarray:
    """What the kernel side makes of calls, each file and function apart."""
    made = []
    for function, file in sorted({(int(row["function"]), int(row["file"])) for row in rows}):
        own = rows[(rows["function"] == function) & (rows["file"] == file)]
        profile = np.zeros(1, PROFILE)[0]
        profile["file"], profile["process"], profile["function"], profile["cause"] = file, 4711, function, cause
        profile["count"] = len(own)
        profile["errors"] = (own["flags"] & CallFlag.FAILED > 0).sum()
        profile["time"], profile["shortest"] = own["duration"].sum(), own["duration"].min()
        profile["longest"], profile["first"] = own["duration"].max(), own["start"].min()
        profile["last"] = (own["start"] + own["duration"]).max()
        for duration in own["duration"].tolist():
            profile["times"][duration.bit_length()] += 1
        if function == 0:
            moved = own["result"][own["result"] >= 0]
            profile["bytes"] = moved.sum()
            for size in moved.tolist():
                profile["sizes"][size.bit_length()] += 1
        made.append(profile)
    return np.array(made, PROFILE)


def trace(path: Path, plan: Plan, lines: np.ndarray, profiles: np.ndarray, counts: list[FunctionCounts]) -> Path:
    stream = io.BytesIO()
    writer = TraceWriter(stream, plan, host="node", epoch_offset_ns=0, user="user", flush_seconds=1.0)
    writer.write(Batch(lines, NAMES))
    writer.write_profiles(profiles)
    writer.close(Footer(counts))
    path.write_bytes(stream.getvalue())
    return path


def whole(path: Path, rows: np.ndarray) -> Path:
    counts = [FunctionCounts(entered=int(n), recorded=int(n)) for n in np.bincount(rows["function"])]
    return trace(path, Plan((), (GROUP, REST)), rows, np.zeros(0, PROFILE), counts)


def profiled(path: Path, rows: np.ndarray) -> Path:
    plan = Plan((), (replace(GROUP, mode=Mode.PROFILE), replace(REST, mode=Mode.PROFILE)))
    numbers = [int(n) for n in np.bincount(rows["function"])]
    counts = [FunctionCounts(entered=n, counted=n, causes={"counted_profile": n}) for n in numbers]
    return trace(path, plan, rows[:0], summed(rows), counts)


def sampled(path: Path, rows: np.ndarray, seed: int) -> Path:
    chosen = (np.random.default_rng(seed).random(len(rows)) < 1 / ONE_OF) | (rows["function"] == 1)
    lines = rows[chosen]
    syncs, out = int((rows["function"] == 1).sum()), int((~chosen).sum())
    writes = len(lines) - syncs
    counts = [FunctionCounts(writes + out, writes, out, causes={"filtered_sampled": out})]
    counts.append(FunctionCounts(syncs, syncs))
    plan = Plan((), (replace(GROUP, sample=ONE_OF), REST))
    return trace(path, plan, lines, np.zeros(0, PROFILE), counts)


@pytest.mark.parametrize(("view", "key"), [("function", "name"), ("file", "path"), ("process", "pid")])
def test_profile_says_what_lines_say(tmp_path: Path, capsys, view: str, key: str) -> None:
    rows = calls()
    table = {"function": "functions", "file": "files", "process": "processes"}[view]
    exact = {row[key]: row for row in data_of(capsys, whole(tmp_path / "a.pfw.gz", rows), "--by", view)[table]}
    found = {row[key]: row for row in data_of(capsys, profiled(tmp_path / "b.pfw.gz", rows), "--by", view)[table]}
    assert found.keys() == exact.keys()
    for name, row in found.items():
        for column in ("count", "errors", "bytes"):
            assert row[column] == exact[name][column], (name, column)
        # A line's microseconds are cut at its beginning and its end.
        assert row["time_us"] == pytest.approx(exact[name]["time_us"], rel=0.005)
        assert row["approximate"] == ["p50_us", "p90_us", "p99_us"]
        for column in ("p50_us", "p99_us"):
            assert exact[name][column] / 2 <= row[column] <= exact[name][column] * 2


def test_margins_hold_what_they_promise(tmp_path: Path, capsys) -> None:
    rows = calls()
    exact = {row["path"]: row for row in data_of(capsys, whole(tmp_path / "a.pfw.gz", rows), "--by", "file")["files"]}
    inside = tried = 0
    for seed in range(23):
        found = data_of(capsys, sampled(tmp_path / f"{seed}.pfw.gz", rows, seed), "--by", "file")["files"]
        for row in found:
            for column, margin in row["margin"].items():
                tried += 1
                inside += abs(row[column] - exact[row["path"]][column]) <= margin
    assert tried == 23 * 2 * 4
    assert 0.88 <= inside / tried <= 1


def test_what_was_counted_is_no_estimate(tmp_path: Path, capsys) -> None:
    rows = calls()
    data = data_of(capsys, sampled(tmp_path / "a.pfw.gz", rows, 1))
    functions = {row["name"]: row for row in data["functions"]}
    assert functions["write"]["count"] == (rows["function"] == 0).sum()
    sums, spread = ["errors", "bytes", "time_us"], ["p50_us", "p90_us", "p99_us", "max_us"]
    assert functions["write"]["approximate"] == [*sums, *spread, "mean_bytes", "waits_us"]
    assert functions["fsync"]["approximate"] == []
    assert data["traces"][0]["sampled"] == [
        {"category": "POSIX", "name": "write", "symbol": "write", "one_of": ONE_OF},
    ]
    COMMAND.run([str(tmp_path / "a.pfw.gz")])
    text = capsys.readouterr().out
    assert "sampled: write 1 of 10" in text
    assert re.search(r"~[\d.]+ GiB ±\d+\.\d%", text)
    assert "95 % margin" in text


def test_degraded_functions(tmp_path: Path, capsys) -> None:
    rows = calls()
    busy = (rows["function"] == 0) & (np.arange(CALLS) >= CALLS // 2)
    kept = rows[~busy]
    numbers = np.bincount(kept["function"]).tolist()
    out = int(busy.sum())
    counts = [FunctionCounts(numbers[0] + out, numbers[0], counted=out, causes={"counted_guard": out})]
    counts.append(FunctionCounts(numbers[1], numbers[1]))
    half = len(rows[busy]) // 2
    path = tmp_path / "a.pfw.gz"
    stream = io.BytesIO()
    writer = TraceWriter(
        stream, Plan((), (GROUP, REST)), host="node", epoch_offset_ns=0, user="user", flush_seconds=1.0
    )
    writer.write(Batch(kept, NAMES))
    for part in (rows[busy][:half], rows[busy][half:]):
        writer.write_profiles(summed(part, ProfileCause.GUARD))
    writer.close(Footer(counts))
    path.write_bytes(stream.getvalue())
    data = data_of(capsys, path)
    (stretch,) = data["traces"][0]["degraded"]
    assert (stretch["name"], stretch["calls"]) == ("write", out)
    assert stretch["end_us"] > stretch["begin_us"]
    assert data["traces"][0]["conservation"]["balanced"]
    assert data["traces"][0]["conservation"]["causes"] == {"counted_guard": out}
    exact = data_of(capsys, whole(tmp_path / "b.pfw.gz", rows))
    for found, wanted in zip(data["functions"], exact["functions"], strict=True):
        assert [found[key] for key in ("name", "count", "errors", "bytes")] == [
            wanted[key] for key in ("name", "count", "errors", "bytes")
        ]
    COMMAND.run([str(path)])
    text = capsys.readouterr().out
    assert "degraded write for " in text
    assert f"counted guard {out:,}" in text


def test_selections_hold_for_profiles(tmp_path: Path, capsys) -> None:
    path = profiled(tmp_path / "a.pfw.gz", calls())
    (row,) = data_of(capsys, path, "--by", "file", "--path", "*/two", "--name", "write")["files"]
    assert row["path"] == "/data/two"
    assert not data_of(capsys, path, "--pid", "1")["functions"]
    assert not data_of(capsys, path, "--since", "3600")["functions"]
    assert data_of(capsys, path, "--until", "0.01")["functions"]


def test_missing_profiles_are_noticed(tmp_path: Path, capsys) -> None:
    path = profiled(tmp_path / "a.pfw.gz", calls())
    assert data_of(capsys, path)["traces"][0]["complete"]
    import gzip

    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    first = next(index for index, line in enumerate(lines) if b"datacrumbs_profile" in line)
    path.write_bytes(gzip.compress(b"".join(lines[:first] + lines[first + 1 :])))
    assert "3 of 4 profiles" in data_of(capsys, path)["traces"][0]["shortcoming"]


def test_histograms() -> None:
    buckets = np.zeros(64, np.uint32)
    buckets[[0, 11]] = 3, 20
    assert histogram_text(buckets) == "0:3 11:20"
    assert histogram("0:3 11:20") == {0: 3, 11: 20}


@pytest.mark.parametrize(
    "change",
    [
        {"count": -1}, {"count": 1 << 70}, {"count": "7"}, {"begin": None}, {"times": "1:2:3"}, {"times": "x"},
        {"time_ns": None}, {"sizes": 5}, {"category": 5}, {"symbol": None},
    ],
)  # fmt: skip
def test_profiles_that_nobody_wrote_are_passed_over(tmp_path: Path, capsys, change: dict[str, object]) -> None:
    path = profiled(tmp_path / "a.pfw.gz", calls())
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines() if line not in {b"[", b"]"}]
    first = next(line for line in lines if line["name"] == "datacrumbs_profile")
    first["args"] |= change
    written = [json.dumps(line, separators=(",", ":")) for line in lines]
    path.write_bytes(gzip.compress("\n".join(["[", *written, "]", ""]).encode()))
    assert "3 of 4 profiles" in data_of(capsys, path)["traces"][0]["shortcoming"]


def test_a_run_in_two_files(tmp_path: Path, capsys) -> None:
    rows = calls()
    halves = (rows[: CALLS // 2], rows[CALLS // 2 :])
    plan = Plan((), (replace(GROUP, mode=Mode.PROFILE), replace(REST, mode=Mode.PROFILE)))
    first, second = io.BytesIO(), io.BytesIO()
    writer = TraceWriter(first, plan, host="n", epoch_offset_ns=0, user="u", flush_seconds=1.0, run_id="r")
    writer.write(Batch(rows[:0], NAMES))
    writer.write_profiles(summed(halves[0]))
    writer.continue_in(second, {})
    writer.write_profiles(summed(halves[1]))
    numbers = [int(n) for n in np.bincount(rows["function"])]
    writer.close(Footer([FunctionCounts(entered=n, counted=n, causes={"counted_profile": n}) for n in numbers]))
    (tmp_path / "a.pfw.gz").write_bytes(first.getvalue())
    (tmp_path / "a.1.pfw.gz").write_bytes(second.getvalue())
    data = data_of(capsys, tmp_path, "--by", "file")
    assert [trace["complete"] for trace in data["traces"]] == [True, True]
    assert {row["path"]: row["count"] for row in data["files"]} == {
        name.text: int((rows["file"] == name.identity).sum()) for name in NAMES
    }


def test_a_sample_in_two_files_is_one_sample(tmp_path: Path, capsys) -> None:
    rows = calls()
    chosen = (np.random.default_rng(1).random(len(rows)) < 1 / ONE_OF) | (rows["function"] == 1)
    plan = Plan((), (replace(GROUP, sample=ONE_OF), REST))
    first, second = io.BytesIO(), io.BytesIO()
    writer = TraceWriter(first, plan, host="n", epoch_offset_ns=0, user="u", flush_seconds=1.0, run_id="r")
    lines = rows[chosen]
    writer.write(Batch(lines[:1000], NAMES))
    writer.continue_in(second, {})
    writer.write(Batch(lines[1000:]))
    syncs, out = int((rows["function"] == 1).sum()), int((~chosen).sum())
    writes = len(lines) - syncs
    counts = [FunctionCounts(writes + out, writes, out, causes={"filtered_sampled": out})]
    writer.close(Footer([*counts, FunctionCounts(syncs, syncs)]))
    (tmp_path / "a.pfw.gz").write_bytes(first.getvalue())
    (tmp_path / "a.1.pfw.gz").write_bytes(second.getvalue())
    functions = {row["name"]: row for row in data_of(capsys, tmp_path)["functions"]}
    assert functions["write"]["count"] == writes + out
    assert "count" not in functions["write"]["approximate"]


def test_functions_of_which_no_call_was_chosen(tmp_path: Path, capsys) -> None:
    rows = calls()
    syncs = int((rows["function"] == 1).sum())
    lines = rows[rows["function"] == 0][::ONE_OF]
    out = int((rows["function"] == 0).sum()) - len(lines)
    counts = [FunctionCounts(len(lines) + out, len(lines), out, causes={"filtered_sampled": out})]
    counts.append(FunctionCounts(syncs, 0, syncs, causes={"filtered_sampled": syncs}))
    plan = Plan((), (replace(GROUP, sample=ONE_OF), replace(REST, sample=ONE_OF)))
    path = trace(tmp_path / "a.pfw.gz", plan, lines, np.zeros(0, PROFILE), counts)
    found = {row["name"]: row for row in data_of(capsys, path)["functions"]}
    sync = found["fsync"]
    assert (sync["count"], sync["errors"], sync["bytes"], sync["time_us"], sync["max_us"]) == (syncs, *[None] * 4)
    assert not {"count", "errors"} & set(sync["approximate"])
    # Of how many calls the lines are a sample was counted, too.
    assert found["write"]["count"] == len(lines) + out
    assert "count" not in found["write"]["approximate"]
    (layer,) = data_of(capsys, path, "--by", "layer")["layers"]
    assert layer["count"] == len(rows)
    assert [row["name"] for row in data_of(capsys, path, "--name", "fs*")["functions"]] == ["fsync"]
    assert [row["name"] for row in data_of(capsys, path, "--pid", "4711")["functions"]] == ["write"]
    assert COMMAND.run([str(path)]) == 0
    assert re.search(rf"fsync +{syncs}\s*$", capsys.readouterr().out, re.MULTILINE)


def test_a_sample_of_one_call_is_no_estimate_of_their_number(tmp_path: Path, capsys) -> None:
    rows = calls()[:1]
    rows["function"] = 0
    plan = Plan((), (replace(GROUP, sample=ONE_OF),))
    counts = [FunctionCounts(7, 1, 6, causes={"filtered_sampled": 6})]
    path = trace(tmp_path / "a.pfw.gz", plan, rows, np.zeros(0, PROFILE), counts)
    (row,) = data_of(capsys, path)["functions"]
    assert row["count"] == 7
    assert "count" not in row["approximate"]
    assert {"errors", "time_us"} <= set(row["approximate"])


def test_a_sample_of_calls_that_are_alike_is_still_a_sample(tmp_path: Path, capsys) -> None:
    rows = calls()[:101]
    rows["function"], rows["file"], rows["result"], rows["errno"] = 0, 1, 17, 0
    rows["flags"] = CallFlag.RETURNED
    rows["start"], rows["duration"] = START + np.arange(101) * 1_000_000, 1400
    failed = 7
    counts = [FunctionCounts(101 * ONE_OF + failed, 101, 909 + failed, causes={"filtered_sampled": 909 + failed})]
    plan = Plan((), (replace(GROUP, sample=ONE_OF),))
    path = trace(tmp_path / "a.pfw.gz", plan, rows, np.zeros(0, PROFILE), counts)
    (row,) = data_of(capsys, path)["functions"]
    assert {"errors", "bytes", "time_us"} <= set(row["approximate"])
    assert row["margin"] == {}
    assert COMMAND.run([str(path), "--by", "function"]) == 0
    assert re.search(rf"write +{101 * ONE_OF + failed:,} +~0 +~16.9 KiB ", capsys.readouterr().out)


def test_a_layer_lacks_what_calls_did_of_which_none_was_chosen(tmp_path: Path, capsys) -> None:
    rows = calls()[1:101]
    counts = [FunctionCounts(100, 100), FunctionCounts(7, 0, 7, causes={"filtered_sampled": 7})]
    plan = Plan((), (GROUP, replace(REST, sample=ONE_OF)))
    path = trace(tmp_path / "a.pfw.gz", plan, rows, np.zeros(0, PROFILE), counts)
    (layer,) = data_of(capsys, path, "--by", "layer")["layers"]
    assert (layer["count"], layer["approximate"], layer["margin"]) == (107, ["errors", "bytes", "time_us"], {})


@pytest.mark.parametrize("view", ["file", "process"])
def test_other_traces_change_nothing_of_one_in_which_each_call_has_a_line(
    tmp_path: Path, made, capsys, view: str
) -> None:
    table, key = {"file": ("files", "path"), "process": ("processes", "pid")}[view]
    stack = []
    for turn in range(13):
        stack += [
            made.call("fwrite", "STDIO", 1000 * turn, 90, bytes=11, fhash="f1"),
            made.call("write", "POSIX", 1000 * turn + 10, 31, bytes=11, fhash="f1", errno=28),
            made.call("fsync", "POSIX", 1000 * turn + 500, 7, fhash="f1"),
        ]
    path = made.write(tmp_path / "lines.pfw.gz", stack, {"f1": "/data/exact"})
    (expected,) = data_of(capsys, path, "--by", view)[table]
    summed_up = made.write(tmp_path / "sums.pfw.gz", [made.profile("read", "POSIX", 50_000, 17, process=8)], run_id="b")
    for others in ([summed_up], [sampled(tmp_path / "s.pfw.gz", calls(), 3)], [summed_up, tmp_path / "s.pfw.gz"]):
        rows = {row[key]: row for row in data_of(capsys, path, *others, "--by", view)[table]}
        assert {name: rows[expected[key]][name] for name in expected} == expected
        assert not rows[expected[key]]["approximate"]
