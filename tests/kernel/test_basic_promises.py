"""What the reference system gets wrong, each shown to be right here, through the real commands."""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.attach_results import AttachResults
from datacrumbs.engine.attach import AttachFailure
from datacrumbs.model.plan import Attach, Function, Group, Plan, Target
from datacrumbs.testing import read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests
from .conftest import NOBODY
from .workloads import writes

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from datacrumbs.testing import Installation, TraceLines

pytestmark = pytest.mark.kernel

SECRET = "correct-horse-battery-staple"  # noqa: S105 - a marker, not a password


@pytest.fixture(scope="module")
def probes(installation: Installation, layer: Path) -> Path:
    """Every system call, and the test library by an entry of the reference system's form."""
    return installation.probes(
        f"""
capture_probes:
  - provider: sys
    preset: all
  - name: layer
    probe: uprobe
    type: binary
    file: {layer}
    regex: layer_.*
"""
    )


@dataclass(frozen=True, slots=True)
class Run:
    """One run of several programs.

    Attributes:
        trace: Its lines.
        done: What became of each program.
        before: The time when the first one began, in seconds.
        after: The time when the last one had ended.
        raw: The trace's text.
        directory: Where the programs' files are.
    """

    trace: TraceLines
    done: dict[str, subprocess.CompletedProcess]
    before: float
    after: float
    raw: bytes
    directory: Path


@pytest.fixture(scope="module")
def traced(installation: Installation, probes: Path, lives: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All programs once."""
    directory = tmp_path_factory.mktemp("promises")
    shutil.copy("/bin/cat", directory / "cat")
    (directory / "secret").write_text(SECRET * 100)
    with installation.daemon(probes) as daemon:
        before = time.time()
        done = {
            "threads": daemon.wrap(lives, "threads"),
            "forks": daemon.wrap(lives, "forks"),
            "recursion": daemon.wrap(lives, "recursion"),
            "short": daemon.wrap(lives, "short", "1511"),
            "cat": daemon.wrap(directory / "cat", directory / "secret", capture_output=True),
            "missing": daemon.wrap("/bin/cat", directory / 'no "such"\nfile', capture_output=True),
        }
        after = time.time()
        # Another user's program, marked in the same way.
        other = daemon.wrap("/usr/bin/env", "-i", "/bin/ls", "/", user=NOBODY, group=NOBODY, capture_output=True)
        assert other.returncode == 0
        daemon.stop()
    raw = gzip.decompress(daemon.trace.read_bytes())
    return Run(read_lines(daemon.trace), done, before, after, raw, directory)


def test_threads_and_forked_children_are_traced(traced: Run) -> None:
    trace = traced.trace
    calls = trace.named("getppid")
    assert len(calls) == 23 * 7 + (3 + 5 * (7 + 11)) + 2 * 1511
    threads: dict[int, set[int]] = {}
    for call in calls:
        threads.setdefault(call["pid"], set()).add(call["tid"])
    assert 23 in {len(tids - {pid}) for pid, tids in threads.items()}


def test_pid_and_tid_in_their_places_and_epoch_times(traced: Run) -> None:
    trace, before, after = traced.trace, traced.before, traced.after
    for call in trace.named("getppid"):
        assert before * 1e6 - 2000 <= call["ts"] <= after * 1e6 + 2000
    leaders = {call["pid"] for call in trace.named("execve")}
    threads = [call for call in trace.named("getppid") if call["pid"] != call["tid"]]
    assert len(threads) == 23 * 7
    assert {call["pid"] for call in threads} <= leaders


def test_short_calls_are_kept(traced: Run) -> None:
    trace = traced.trace
    assert sum(call["dur"] == 0 for call in trace.named("getppid")) > 1000
    assert trace.footer["filtered"] == 0


def test_recursive_calls_keep_their_own_start(traced: Run) -> None:
    trace = traced.trace
    calls = trace.named("layer_recurse")
    assert len(calls) == 3 * 17 + 32
    # Lines of calls that begin in one microsecond stand apart from the others.
    first = sorted(calls, key=lambda call: (call["ts"] + call["dur"], -call["ts"]))[:17]
    assert all(outer["ts"] <= inner["ts"] for inner, outer in itertools.pairwise(first))
    assert len({(call["pid"], call["tid"]) for call in first}) == 1


def test_no_table_fills_up_with_the_dead(traced: Run) -> None:
    """More processes than the reference system's table of 1024 ids holds, and every one is traced."""
    trace, done = traced.trace, traced.done
    assert done["short"].returncode == 0
    assert len({call["pid"] for call in trace.named("getppid")}) > 1500


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_drains_the_ring_and_closes_the_trace(
    number: signal.Signals, installation: Installation, probes: Path
) -> None:
    with installation.daemon(probes) as daemon:
        os.kill(daemon.process.pid, signal.SIGSTOP)  # so that the ring is full of calls at the stop
        daemon.wrap(*writes(20011))
        os.kill(daemon.process.pid, number)
        os.kill(daemon.process.pid, signal.SIGCONT)
        assert daemon.stop(number) == 0
        assert not daemon.ready.exists()
    trace = read_lines(daemon.trace)
    assert len(trace.named("write")) == 20011
    assert trace.footer["entered"] == trace.footer["recorded"] + trace.footer["unmatched"]


def test_a_killed_daemon_leaves_a_readable_trace(installation: Installation, probes: Path) -> None:
    with installation.daemon(probes) as daemon:
        daemon.wrap(*writes(10007))
        daemon.wait_for("write", 10007)
        daemon.process.kill()
        daemon.process.wait()
    lines = gzip.decompress(daemon.trace.read_bytes()).decode().splitlines()
    assert sum('"name":"write"' in line for line in lines) == 10007
    until(lambda: not daemon.ready.exists())  # by the process that keeps it


def test_results_errors_and_files(traced: Run) -> None:
    trace, directory = traced.trace, traced.directory
    read = [call for call in trace.named("read") if trace.file(call) == str(directory / "secret")]
    assert [call["args"]["ret"] for call in read] == [len(SECRET) * 100, 0]
    failed = [call for call in trace.named("open") if "such" in trace.file(call)]
    assert [(call["args"]["ret"], call["args"]["errno"]) for call in failed] == [(-1, 2)]


def test_no_user_data_in_the_trace(traced: Run) -> None:
    done, raw = traced.done, traced.raw
    assert done["cat"].stdout.decode() == SECRET * 100
    assert SECRET.encode() not in raw


def test_other_users_are_not_captured(traced: Run) -> None:
    trace = traced.trace
    assert not [call for call in trace.calls if trace.file(call) == "/bin/ls"]
    assert trace.footer["entered"] > 0


def test_no_name_reaches_a_shell(installation: Installation, probes: Path, tmp_path: Path) -> None:
    hostile = tmp_path / f"$(touch {'x' * 8});`id`\n.json.gz"
    shutil.copy(probes, hostile)
    with installation.daemon(hostile, run_id="plain") as daemon:
        daemon.wrap("/bin/true")
        assert daemon.stop() == 0
    assert "\n" not in daemon.trace.name
    assert not list(tmp_path.glob("x*"))
    done = installation.command("datacrumbs", probes, "../../etc/cron.d/x")
    assert done.returncode == 2
    assert "may contain only letters, digits, `.`, `-` and `_`" in done.stderr


def test_the_client_prints_nothing(traced: Run) -> None:
    done = traced.done
    assert done["cat"].stderr == b""
    assert done["cat"].stdout == (SECRET * 100).encode()


def test_a_failed_function_is_tried_again_when_its_file_changes(tmp_path: Path) -> None:
    def plan(build_id: str) -> Plan:
        function = Function("f", "f", "X", offset=16)
        return Plan((), (Group("p", "l", Attach.UPROBE, Target("/lib/x.so", build_id), (function,)),))

    results = AttachResults(tmp_path / "attach.sqlite")
    roots = {Target("/lib/x.so", build_id): 0 for build_id in ("aa", "bb")}
    results.record(plan("aa"), roots, [AttachFailure(0, "f", "Invalid argument", errno.EINVAL)])
    assert results.known_failures(plan("aa"), roots) == {0: "Invalid argument"}
    assert results.known_failures(plan("bb"), roots) == {}
    users = dict.fromkeys(roots, NOBODY)  # a build-id is what a file says of itself
    assert results.known_failures(plan("aa"), users) == {}


def test_names_are_plain_and_strings_are_safe(traced: Run) -> None:
    trace, raw, directory = traced.trace, traced.raw, traced.directory
    assert not [call["name"] for call in trace.calls if ":" in call["name"]]
    assert str(directory / 'no "such"\nfile') in trace.names.values()
    assert all(line.startswith(b"{") and line.endswith(b"}") for line in raw.split(b"\n")[1:-2])


def test_nothing_to_probe_is_an_error_and_leaves_no_file(installation: Installation) -> None:
    site = installation.prefix / "nothing.yaml"
    site.write_text("capture_probes:\n  - provider: sys\n    functions: no_such_call\n")
    output = installation.prefix / "nothing.json.gz"
    done = installation.command("datacrumbs_probe_configurator", site, output)
    assert done.returncode == 2
    assert not output.exists()
    assert "no_such_call" in done.stderr
