"""Calls that get no line of their own are counted exactly: profiled, sampled out, or held back by the guard."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs import client
from datacrumbs.engine.counting import GUARD_INTERVAL_NS
from datacrumbs.model.plan import Filters, Mode, Plan
from datacrumbs.model.record import PROFILE, ProfileCause
from datacrumbs.testing import run_workload

from .conftest import Tracer, layer_group, system_call_group
from .workloads import accounted
from .workloads import writes as dd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from datacrumbs.system import SystemConfiguration
    from datacrumbs.testing import Installation, TraceLines

pytestmark = pytest.mark.kernel

CALLS = 50021
GUARD_RATE = 2_003
"""Calls per second that the guard lets a function record: fewer than a program makes even on a busy machine."""
THREADS, EACH = 7, 1009

_WRITERS = f"""
import os, threading
def work(number):
    file = os.open(f"/dev/null", os.O_WRONLY)
    for turn in range({EACH}):
        os.write(file, bytes(number + 1))
    try:
        os.write(-1, b"x")
    except OSError:
        pass
    os.close(file)
threads = [threading.Thread(target=work, args=(number,)) for number in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.fixture
def start(engine_state: Path, configuration: SystemConfiguration) -> Iterator[Callable[..., Tracer]]:
    """Starts engines for reads and writes: ``start(mode=..., sample=..., call_ring_mib=...)``."""
    tracers = []

    def make(mode: Mode = Mode.TRACE, sample: int = 1, **settings: int) -> Tracer:
        group = replace(system_call_group(("read", "write")), mode=mode, sample=sample)
        tracers.append(Tracer(Plan((), (group,)), engine_state, replace(configuration, **settings)))
        return tracers[-1]

    yield make
    for tracer in tracers:
        tracer.engine.close()


def of_writes(profiles: np.ndarray) -> np.ndarray:
    return profiles[profiles["function"] == 1]


def test_profile_counts_every_call_of_every_thread(start: Callable[..., Tracer]) -> None:
    tracer = start(Mode.PROFILE)
    trace = tracer.run(sys.executable, "-c", _WRITERS)
    profiles = tracer.engine.profiles()
    assert not len(trace.calls)
    assert profiles.dtype == PROFILE
    writes = tracer.engine.counts()[1]
    assert writes.balanced
    assert writes.counted == writes.causes["counted_profile"] == writes.entered == of_writes(profiles)["count"].sum()
    null = max(of_writes(profiles), key=lambda row: row["count"])
    assert null["count"] == THREADS * EACH
    assert trace.path(null["file"]) == "/dev/null"
    assert null["bytes"] == EACH * sum(range(1, THREADS + 1))
    assert null["errors"] == 0
    # 1 | 2, 3 | 4 to 7 bytes: numbers of one, two and three bits.
    assert null["sizes"][:5].tolist() == [0, EACH, 2 * EACH, 4 * EACH, 0]
    assert null["times"].sum() == THREADS * EACH
    assert 0 < null["shortest"] <= null["time"] / null["count"] <= null["longest"]
    assert null["first"] + null["longest"] <= null["last"]
    assert of_writes(profiles)["errors"].sum() == THREADS
    assert tracer.engine.totals()["profiles_lost"] == 0
    assert not len(tracer.engine.profiles())


def test_nothing_is_missing_or_double_when_profiles_are_read_all_the_time(start: Callable[..., Tracer]) -> None:
    tracer = start(Mode.PROFILE)
    process = subprocess.Popen([client.launcher(), *dd(CALLS * 4)])
    taken = []
    while process.poll() is None:
        taken.append(tracer.engine.profiles())
    taken.append(tracer.engine.profiles())
    tracer.drain()
    writes = of_writes(np.concatenate(taken))
    assert len([rows for rows in taken if len(rows)]) > 3
    assert writes["count"].sum() == writes["bytes"].sum() == CALLS * 4
    assert (writes["times"].sum(axis=1) == writes["count"]).all()
    assert tracer.engine.counts()[1].counted == CALLS * 4


def test_full_table_of_profiles_is_counted(start: Callable[..., Tracer], tmp_path: Path) -> None:
    tracer = start(Mode.PROFILE, profiles=8)
    program = "import os,sys\nfor n in range(23): os.write(os.open(f'{sys.argv[1]}/{n}', os.O_CREAT|os.O_WRONLY), b'x')"
    tracer.run(sys.executable, "-c", program, str(tmp_path))
    counted = sum(count.counted for count in tracer.engine.counts())
    assert len(tracer.engine.profiles()) <= 8
    lost = tracer.engine.totals()["profiles_lost"]
    assert lost > 0
    assert all(count.balanced for count in tracer.engine.counts())
    assert counted == sum(count.entered for count in tracer.engine.counts())


def test_profile_agrees_with_trace_and_strace(start: Callable[..., Tracer]) -> None:
    command = (sys.executable, "-c", _WRITERS)
    traced = start().run(*command)
    profiles = start(Mode.PROFILE)
    profiles.run(*command)
    rows = of_writes(profiles.engine.profiles())
    calls = traced.named("write")
    moved = calls["result"][calls["result"] > 0].sum()
    assert (rows["count"].sum(), rows["bytes"].sum()) == (len(calls), moved)
    told = subprocess.run(["strace", "-fc", "-e", "write", *command], capture_output=True, text=True, check=True).stderr
    counted = re.search(r"(\d+)\s+(\d+)\s+write$", told, re.MULTILINE)
    assert counted is not None
    assert (int(counted[1]), int(counted[2])) == (rows["count"].sum(), rows["errors"].sum())


def test_sampling_counts_what_it_leaves_out(start: Callable[..., Tracer]) -> None:
    tracer = start(sample=10)
    trace = tracer.run(*dd(CALLS))
    writes = tracer.engine.counts()[1]
    assert writes.entered == CALLS
    assert writes.recorded == trace.count("write")
    assert writes.recorded + writes.causes["filtered_sampled"] == CALLS
    assert writes.filtered == writes.causes["filtered_sampled"]
    # Five standard deviations of a binomial distribution.
    assert abs(writes.recorded - CALLS / 10) < 5 * (CALLS * 0.1 * 0.9) ** 0.5


def test_sampling_comes_before_the_filter_of_short_calls(
    engine_state: Path, configuration: SystemConfiguration
) -> None:
    group = replace(system_call_group(("read", "write")), sample=10)
    with Tracer(Plan((), (group,), filters=Filters(minimum_duration_ns=10**9)), engine_state, configuration) as tracer:
        trace = tracer.run(*dd(CALLS))
        writes = tracer.engine.counts()[1]
    assert not trace.count("write")
    assert writes.causes["filtered_duration"] + writes.causes["filtered_sampled"] == writes.filtered == CALLS
    assert abs(writes.causes["filtered_duration"] - CALLS / 10) < 5 * (CALLS * 0.1 * 0.9) ** 0.5


def test_library_functions_are_sampled_and_profiled(
    layer: Path, lives: Path, engine_state: Path, configuration: SystemConfiguration
) -> None:
    for detail in ({"mode": Mode.PROFILE}, {"sample": 3}):
        with Tracer(Plan((), (replace(layer_group(layer), **detail),)), engine_state, configuration) as tracer:
            trace = tracer.run(str(lives), "recursion")
            counts = tracer.engine.counts()
            profiles = tracer.engine.profiles()
        assert sum(count.entered for count in counts) > 100
        assert all(count.balanced for count in counts)
        assert profiles["count"].sum() == sum(count.counted for count in counts)
        assert len(trace.calls) == sum(count.recorded for count in counts)
        assert bool(len(profiles)) == ("mode" in detail)


def test_rate_guard_degrades_to_counting_and_recovers(start: Callable[..., Tracer]) -> None:
    tracer = start(guard_function_rate=GUARD_RATE)
    began = time.monotonic_ns()
    trace = tracer.run(*dd(CALLS))
    intervals = (time.monotonic_ns() - began) // GUARD_INTERVAL_NS + 2  # however slow the machine is
    reads, writes = tracer.engine.counts()
    profiles = tracer.engine.profiles()
    assert Counter(profiles["cause"].tolist()).keys() == {ProfileCause.GUARD}
    assert writes.entered == CALLS
    assert 0 < writes.recorded == trace.count("write") <= intervals * GUARD_RATE * GUARD_INTERVAL_NS / 1e9
    assert writes.recorded + writes.causes["counted_guard"] == CALLS
    rows = of_writes(profiles)
    assert 0 < rows["count"].sum() == rows["bytes"].sum() == writes.counted
    assert reads.balanced
    assert writes.balanced
    # What comes after a quiet interval is recorded in full.
    time.sleep(3 * GUARD_INTERVAL_NS / 1e9)
    trace = tracer.run(*dd(101))
    assert trace.count("write") == 101


def test_full_ring_degrades_the_busy_and_spares_the_rare(start: Callable[..., Tracer]) -> None:
    tracer = start(call_ring_mib=1, guard_ring_percent=80)
    script = "dd if=/dev/zero of=/dev/null bs=1 count=50021 status=none; exec dd if=/dev/zero bs=1 count=1 status=none"
    trace = tracer.run("/bin/sh", "-c", script, stdout=subprocess.DEVNULL)
    reads, writes = tracer.engine.counts()
    assert writes.entered == CALLS + 1
    assert not writes.lost
    assert not reads.lost
    assert 0 < writes.causes["counted_guard"] == of_writes(tracer.engine.profiles())["count"].sum()
    assert writes.recorded == trace.count("write")
    assert reads.balanced
    assert writes.balanced


def test_guard_on_all_processors_at_once(start: Callable[..., Tracer]) -> None:
    tracer = start(call_ring_mib=1, guard_ring_percent=80)
    one = "dd if=/dev/zero of=/dev/null bs=1 count=50021 status=none"
    processes = subprocess.Popen([client.launcher(), "/bin/sh", "-c", f"{one} & {one} & {one} & wait"])
    taken = []
    while processes.poll() is None:  # what is read makes room again, so that the guard comes and goes
        taken.append(tracer.engine.profiles())
        tracer.drain()
    taken.append(tracer.engine.profiles())
    tracer.drain()
    profiles = np.concatenate(taken)
    for index, count in enumerate(tracer.engine.counts()):
        assert count.balanced
        assert not count.lost
        assert count.counted == profiles["count"][profiles["function"] == index].sum()
        assert count.recorded == tracer.seen[index]
    assert tracer.engine.counts()[1].entered == 3 * CALLS


SITE = """
capture_probes:
  - {provider: sys, preset: default}
  - {provider: sys, functions: write, mode: profile}
  - {provider: sys, functions: read, sample: 10}
"""


def profiles_of(trace: TraceLines, symbol: str) -> list[dict[str, Any]]:
    lines = (line["args"] for line in trace.metadata if line["name"] == "datacrumbs_profile")
    return [line for line in lines if line["symbol"] == symbol]


def test_site_file_says_what_is_kept(installation: Installation) -> None:
    trace = installation.trace(installation.probes(SITE), dd(CALLS))
    writes, reads, opens = (trace.counts[symbol] for symbol in ("write", "read", "openat"))
    lines = profiles_of(trace, "write")  # more than one where an interval ended within the run
    assert not trace.named("write")
    assert (writes["entered"], writes["counted"], writes["counted_profile"]) == (CALLS, CALLS, CALLS)
    assert [sum(line[key] for line in lines) for key in ("count", "bytes", "errors")] == [CALLS, CALLS, 0]
    for line in lines:
        assert line["cause"] == "profile"
        assert line["sizes"] == f"1:{line['count']}"
        assert trace.names[line["fhash"]] == "/dev/null"
        assert line["shortest_ns"] * line["count"] <= line["time_ns"] <= line["longest_ns"] * line["count"]
        assert line["end"] - line["begin"] >= line["time_ns"] // 1000
    assert 0 < reads["recorded"] == len(trace.named("read")) < CALLS / 5
    assert reads["entered"] == reads["recorded"] + reads["filtered_sampled"]
    assert opens["recorded"] == opens["entered"]
    assert trace.footer["profiles"] == len([line for line in trace.metadata if line["name"] == "datacrumbs_profile"])
    (sampled,) = (line["args"] for line in trace.metadata if line["name"] == "datacrumbs_sampled")
    assert (sampled["symbol"], sampled["one_of"]) == ("read", 10)


@pytest.mark.parametrize(("mode", "kept"), [("profile", 0), ("trace", CALLS)])
def test_mode_of_the_command_line_holds_for_every_function(installation: Installation, mode: str, kept: int) -> None:
    site = SITE.replace(", sample: 10", "")
    with installation.daemon(installation.probes(site), arguments=("--mode", mode)) as daemon:
        daemon.wrap(*dd(CALLS))
        trace = daemon.lines()
    assert trace.provenance["mode"] == mode
    assert len(trace.named("write")) == kept
    assert sum(line["count"] for line in profiles_of(trace, "write")) == CALLS - kept
    # Whatever became of a call, it is counted once.
    for counts in trace.counts.values():
        assert counts["entered"] == accounted(counts)


def test_inclusion_path_holds_for_profiles(installation: Installation, tmp_path: Path) -> None:
    site = f"mode: profile\ncapture_probes: [{{provider: sys, preset: default}}]\ninclusion_path: {tmp_path}\n"
    inside = ("/bin/dd", "if=/dev/zero", f"of={tmp_path}/inside", "bs=3", "count=1009", "status=none")
    trace = installation.trace(installation.probes(site), inside, dd(101))
    writes = trace.counts["write"]
    assert (writes["entered"], writes["counted"], writes["filtered"]) == (1009 + 101, 1009, 101)
    assert sum(line["bytes"] for line in profiles_of(trace, "write")) == 3 * 1009


@pytest.fixture
def strict(installation: Installation) -> Iterator[Installation]:
    """An installation whose guard lets 20,000 calls of a function pass in a second."""
    file = installation.prefix / "etc/datacrumbs/datacrumbs.yaml"
    before = file.read_bytes()
    file.write_text("guard_function_rate: 20000\n")
    yield installation
    file.write_bytes(before)


def test_trace_says_when_a_function_was_degraded(strict: Installation) -> None:
    trace = strict.trace(strict.probes("capture_probes: [{provider: sys, preset: default}]"), dd(CALLS))
    writes = trace.counts["write"]
    notes = [line["args"] for line in trace.metadata if line["name"] == "datacrumbs_note"]
    told = [note for note in notes if note["symbol"] == "write"]
    assert {note["event"] for note in told} == {"degraded"}
    lines = profiles_of(trace, "write")
    assert sum(note["calls"] for note in told) == sum(line["count"] for line in lines) == writes["counted_guard"] > 0
    assert writes["entered"] == writes["recorded"] + writes["counted_guard"] == CALLS
    assert all(note["begin"] <= note["end"] for note in told)


@pytest.mark.parametrize(
    ("provider", "site"),
    [("posix", "{provider: posix, preset: all}"), ("mpi", "{provider: mpi, preset: all}")],
)
def test_profile_of_a_workload_equals_its_trace(
    installation: Installation, tmp_path: Path, provider: str, site: str
) -> None:
    table = Path(__file__).parents[2] / f"providers/{provider}/workload/workload.json"
    sums = []
    for mode in ("trace", "profile"):
        (tmp_path / mode).mkdir()
        text = f"mode: {mode}\ncapture_probes: [{site}]\n"
        trace, wanted = run_workload(installation, tmp_path / mode, text, table)
        assert bool(trace.calls) == (mode == "trace")
        found: dict[str, list[int]] = {}
        for call in trace.calls:
            symbol = call["args"].get("symbol", call["name"])
            entry = found.setdefault(symbol, [0, 0, 0])
            moved = call["args"].get("bytes", 0)
            for place, number in enumerate((1, int("errno" in call["args"]), max(moved, 0))):
                entry[place] += number
        for line in (line["args"] for line in trace.metadata if line["name"] == "datacrumbs_profile"):
            entry = found.setdefault(line["symbol"], [0, 0, 0])
            for place, key in enumerate(("count", "errors", "bytes")):
                entry[place] += line.get(key, 0)
        exact = set(wanted.get("counts", wanted.get("calls")))
        sums.append({symbol: entry for symbol, entry in found.items() if symbol in exact})
    assert len(sums[0]) > 20
    assert sums[0] == sums[1]
