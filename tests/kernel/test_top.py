"""Looking on at runs that go on: what is shown is what their programs do, to whom it may be shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ..json_forms import read_json  # noqa: TID252 - a helper of all tests
from ..waiting import until  # noqa: TID252 - a helper of all tests
from .conftest import COMMANDS, NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.testing import Installation, RunningDaemon, TraceLines

pytestmark = pytest.mark.kernel

BOUND = 300.0
SITE = "capture_probes:\n  - provider: sys\n    preset: data\n"
READS, WRITES, FAILURES = 211, 307, 13
STRANGER = 12345
PROGRAM = f"""
import os, sys
place = sys.argv[1]
written = os.open(f"{{place}}/written", os.O_CREAT | os.O_WRONLY)
read = os.open(f"{{place}}/read", os.O_RDONLY)
for turn in range({WRITES}):
    os.write(written, b"seventeen bytes!!")
for turn in range({READS}):
    os.read(read, 23)
for turn in range({FAILURES}):
    try:
        os.read(written, 1)
    except OSError:
        pass
print("done", flush=True)
sys.stdin.readline()
os.write(written, b"the last one")
"""


@pytest.fixture(scope="module")
def data(installation: Installation) -> Path:
    """A signed probe file of reads and writes."""
    return installation.probes(SITE)


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    (tmp_path / "read").write_bytes(b"x" * 8192)
    return [sys.executable, "-I", "-S", str(script), str(tmp_path)]


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlast a failure."""
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def running(daemon: RunningDaemon, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The program, from when it has done most of its calls until it is told to end."""
    environment = {**os.environ, "DATACRUMBS_RUN_ID": daemon.run_id}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    wrapped = [COMMANDS / "datacrumbs_wrap", *command]
    with ended(subprocess.Popen(wrapped, env=environment, text=True, **pipes)) as process:
        assert process.stdout.readline() == "done\n"
        yield process
        process.communicate("go on\n", timeout=BOUND)
        assert process.returncode == 0


def top(installation: Installation, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return installation.command("datacrumbs_top", *map(str, words), **options)


def looked(installation: Installation, run: str, **options: Any) -> dict[str, Any]:
    done = top(installation, run, "--once", "--json", **options)
    assert (done.returncode, done.stderr) == (0, "")
    return read_json("top", done.stdout)


def seen(installation: Installation, run: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """A snapshot of when something is in it."""

    def snapshot() -> dict[str, Any] | None:
        found = looked(installation, run)
        return found if reached(found) else None

    return until(snapshot)


def row(found: dict[str, Any], view: str, **keys: object) -> dict[str, Any]:
    (only,) = [row for row in found["views"][view] if all(row[key] == value for key, value in keys.items())]
    return only


def calls_of(found: dict[str, Any], name: str) -> int:
    return sum(row["calls"] for row in found["views"]["function"] if row["function"] == name)


def by_file(trace: TraceLines) -> dict[str, tuple[int, int]]:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for call in trace.calls:
        if path := trace.file(call):
            sums[path][0] += 1
            sums[path][1] += call["args"].get("bytes", 0)
    return {path: (calls, moved) for path, (calls, moved) in sums.items()}


def test_a_running_program_is_seen_and_the_last_look_is_the_trace(
    installation: Installation, data: Path, program: list[str], tmp_path: Path
) -> None:
    with installation.daemon(data) as daemon:
        watching = [COMMANDS / "datacrumbs_top", "--prefix", installation.prefix, daemon.run_id, "--json"]
        watching += ["--interval", "50ms"]
        with ended(subprocess.Popen(watching, stdout=subprocess.PIPE, text=True)) as watcher:
            assert json.loads(watcher.stdout.readline())["state"] == "running"
            with running(daemon, program) as process:
                found = seen(installation, daemon.run_id, lambda found: calls_of(found, "write") >= WRITES + 1)
                written, read = (row(found, "file", path=f"{tmp_path}/{name}") for name in ("written", "read"))
                assert (written["calls"], written["bytes"], written["errors"]) == (
                    WRITES + FAILURES, 17 * WRITES, FAILURES,
                )  # fmt: skip
                assert (read["calls"], read["bytes"], read["errors"]) == (READS, 23 * READS, 0)
                assert written["time_ns"] > 0
                assert row(found, "process", process=process.pid)["name"] == Path(sys.executable).name
                table = top(installation, daemon.run_id, "--by", "file", "--sort", "calls", "--limit", 1)
                assert f"{tmp_path}/written  " in table.stdout, table.stdout
            daemon.stop()
            *_, last = watcher.communicate(timeout=BOUND)[0].splitlines()
        trace = daemon.lines()
    final = json.loads(last)
    assert (final["state"], final["lost"]) == ("ended", 0)
    assert final["recorded"] == len(trace.calls) == trace.footer["recorded"]
    assert {row["function"]: row["calls"] for row in final["views"]["function"]} == dict(trace.tally())
    files = {row["path"]: (row["calls"], row["bytes"] or 0) for row in final["views"]["file"]}
    assert files == by_file(trace)
    processes = {row["process"]: row["calls"] for row in final["views"]["process"]}
    assert processes == Counter(call["pid"] for call in trace.calls)
    gone = top(installation, daemon.run_id, "--once")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert f"no run {daemon.run_id} of yours goes on here" in gone.stderr


def test_counted_calls_are_seen(installation: Installation, data: Path, program: list[str], tmp_path: Path) -> None:
    with installation.daemon(data, arguments=("--mode", "profile")) as daemon, running(daemon, program):
        found = seen(installation, daemon.run_id, lambda found: calls_of(found, "write") >= WRITES + 1)
        written = row(found, "file", path=f"{tmp_path}/written")
        assert (written["calls"], written["counted"], written["bytes"]) == (
            WRITES + FAILURES, WRITES + FAILURES, 17 * WRITES,
        )  # fmt: skip
        assert (found["recorded"], found["counted"]) == (0, sum(row["calls"] for row in found["views"]["function"]))
        assert "only counted" in top(installation, daemon.run_id, "--once").stdout


def test_metrics_are_those_of_all_runs(
    installation: Installation, data: Path, program: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "datacrumbs.prom"
    with installation.daemon(data) as daemon, installation.daemon(data) as idle, running(daemon, program):
        seen(installation, daemon.run_id, lambda found: calls_of(found, "write") >= WRITES + 1)
        found = looked(installation, daemon.run_id)
        done = top(installation, "--prometheus", file, "--once")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        samples = [sample for family in text_string_to_metric_families(file.read_text()) for sample in family.samples]
    by_name = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}
    assert len(by_name) == len(samples)
    run = ("run", daemon.run_id)
    assert by_name["datacrumbs_runs",] >= 2
    assert {sample.labels["run"] for sample in samples if sample.name == "datacrumbs_run_info"} >= {
        daemon.run_id,
        idle.run_id,
    }
    assert by_name["datacrumbs_run_recorded_calls_total", run] == found["recorded"]
    assert by_name["datacrumbs_run_lost_calls_total", run] == 0
    name = "datacrumbs_run_function_bytes_total"
    for each in found["views"]["function"]:
        if each["bytes"] is not None:
            key = (name, ("function", each["function"]), ("layer", each["layer"]), run)
            assert by_name[key] == each["bytes"]


def test_a_run_is_shown_to_its_user_and_to_root(installation: Installation, shared_directory: Path, data: Path) -> None:
    place = Path(tempfile.mkdtemp(prefix="looked-", dir=shared_directory))
    os.chown(place, NOBODY, NOBODY)
    (place / "site.yaml").write_text(SITE)
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": place}
    stranger = {"user": STRANGER, "group": STRANGER, "extra_groups": [], "cwd": "/"}
    made = installation.command("datacrumbs_probe_configurator", place / "site.yaml", place / "p.json.gz", **user)
    assert made.returncode == 0, made.stderr
    with installation.daemon(place / "p.json.gz") as daemon, installation.daemon(data) as roots:
        daemon.wrap("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=7", "count=101", "status=none", **user)
        for who in (user, {}):
            found = looked(installation, daemon.run_id, **who)
            assert (found["user"], calls_of(found, "write")) == ("nobody", 101)
        # A run of others and one that does not exist are refused in the same words.
        for who, run in ((stranger, daemon.run_id), (user, roots.run_id), (user, "no-such-run")):
            done = top(installation, run, "--once", "--json", **who)
            assert (done.returncode, done.stdout) == (1, "")
            assert f"no run {run} of yours goes on here" in done.stderr
        socket = installation.prefix / f"run/datacrumbs/datacrumbs-{daemon.run_id}.sock"
        assert socket.is_socket()
        assert daemon.run_id not in Path("/proc/net/unix").read_text()
    assert not socket.exists()


def test_looks_take_little_of_the_writers_time(installation: Installation, data: Path, program: list[str]) -> None:
    with installation.daemon(data) as daemon, running(daemon, program):
        writer = max(children(daemon.process.pid), key=lambda pid: len(list(Path(f"/proc/{pid}/fd").iterdir())))
        seen(installation, daemon.run_id, lambda found: calls_of(found, "write") >= WRITES + 1)
        before = used(writer)
        begin = time.monotonic()
        for _ in range(7):
            looked(installation, daemon.run_id)
        share = (used(writer) - before) / (time.monotonic() - begin)
    assert share < 0.5  # it takes some thousandths; a machine under load must not fail this


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def used(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
