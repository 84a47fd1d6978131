"""`datacrumbs record -p PID` on PostgreSQL under load: each process's system calls, compared with bpftrace's."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.kernel.syscalls import system_calls
from datacrumbs.testing import read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests
from .conftest import COMMANDS, NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.testing import TraceLines

pytestmark = pytest.mark.kernel

SECONDS = 300  # a bound, no promise of speed
TRANSACTIONS = 31
PROGRAMS = max(
    (*Path("/usr/lib/postgresql").glob("*/bin"), Path("/usr/bin")), key=lambda each: (each / "initdb").exists()
)
# Nothing returns from it, so no trace has it as a call.
LEAVES = "exit_group"
SCRIPT = """
BEGIN { printf("ready\\n"); }
tracepoint:raw_syscalls:sys_enter /comm == "postgres"/ { printf("%llu %d %d\\n", nsecs, pid, args->id); }
"""


@contextmanager
def server(place: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A server of an ordinary user's, without network; what it gives starts a client."""
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": place}
    data = place / "data"
    initdb = [PROGRAMS / "initdb", "-D", data, "-N", "-U", "bench", "-A", "trust"]
    subprocess.run(initdb, check=True, capture_output=True, timeout=SECONDS, **user)
    start = [PROGRAMS / "pg_ctl", "-D", data, "-l", place / "log", "-w", "-t", str(SECONDS)]
    options = f"-k {place} -c listen_addresses= -c autovacuum=off"
    subprocess.run([*start, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, timeout=SECONDS, **user)

    def client(*words: str) -> subprocess.Popen[str]:
        command = [PROGRAMS / "pgbench", "-h", place, "-U", "bench", *words, "postgres"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **user)

    try:
        ended(client("-i", "-q"))
        yield client
    finally:
        subprocess.run([*start, "-m", "fast", "stop"], check=True, stdout=subprocess.DEVNULL, timeout=SECONDS, **user)


def ended(process: subprocess.Popen[str]) -> None:
    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0, said


@contextmanager
def seen_by_bpftrace(output: Path) -> Iterator[dict[int, list[int]]]:
    """Numbers of the system calls of each process, the process that began first first: filled when the block ends."""
    calls: dict[int, list[int]] = {}
    environment = os.environ | {"BPFTRACE_PERF_RB_PAGES": "4096"}
    with (
        output.open("w") as stream,
        subprocess.Popen(["bpftrace", "-e", SCRIPT], stdout=stream, stderr=stream, env=environment) as process,
    ):
        try:
            until(lambda: "ready" in output.read_text() or process.poll() is not None)
            assert process.poll() is None, output.read_text()
            yield calls
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
    lines = output.read_text().splitlines()
    assert not [line for line in lines if "Lost" in line]
    for _, number, call in sorted(tuple(map(int, line.split())) for line in lines if line[:1].isdigit()):
        calls.setdefault(number, []).append(call)


def seen_by_us(trace: TraceLines) -> dict[int, Counter[str]]:
    calls: dict[int, Counter[str]] = {}
    for line in trace.calls:
        if line["cat"] == "POSIX":
            calls.setdefault(line["pid"], Counter())[line["name"]] += 1
    return calls


def of_the_plan(trace: TraceLines, numbers: list[int]) -> Counter[str]:
    """By name, those calls that the probe file has."""
    symbols = {call.number: call.name for call in system_calls(platform.machine())}
    names = {symbol: row["name"] for symbol, row in trace.counts.items() if row["category"] == "POSIX"}
    return Counter(names[symbol] for number in numbers if (symbol := symbols[number]) in names and symbol != LEAVES)


def test_a_server_under_load(shared_directory: Path, tmp_path: Path) -> None:
    place = shared_directory / "postgresql"
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
    trace = tmp_path / "t.pfw.gz"
    command = [COMMANDS / "datacrumbs", "record", "--prefix", shared_directory / "prefix", "--no-report", "-o", trace]
    with seen_by_bpftrace(tmp_path / "bpftrace") as theirs, server(place) as client:
        postmaster = int((place / "data" / "postmaster.pid").read_text().split()[0])
        load = client("-n", "-C", "-c", "2", "-T", str(SECONDS))
        words = ["--providers", "sys", "--preset", "all", "-p", str(postmaster)]
        recorder = subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        line = recorder.stderr.readline()
        assert "recording process" in line, line + recorder.communicate(timeout=SECONDS)[1]
        ended(client("-n", "-C", "-c", "1", "-t", str(TRANSACTIONS)))
        load.send_signal(signal.SIGINT)
        load.communicate(timeout=SECONDS)
    said = recorder.communicate(timeout=SECONDS)[1]
    assert (recorder.returncode, "every call accounted for" in said) == (0, True), said
    lines = read_lines(trace)
    ours = seen_by_us(lines)
    own = ours.pop(postmaster)
    assert len(ours) > TRANSACTIONS
    # A connection may have been accepted just before, and its process made just after.
    assert len(ours) - own["accept"] in {0, 1}
    assert {process: of_the_plan(lines, theirs[process]) for process in ours} == ours
    began = list(theirs)
    assert set(began[min(map(began.index, ours)) :]) == set(ours)
