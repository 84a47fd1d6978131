"""More threads, processes, daemons and calls than anybody wants: each call is accounted for, and no program waits.

The numbers of a longer run are set by DATACRUMBS_PROCESSES, DATACRUMBS_BOMB_SECONDS and DATACRUMBS_STOPPED_SECONDS.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import read_lines

from .conftest import NOBODY, nobodys_probes
from .workloads import writer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.testing import Installation, RunningDaemon, TraceLines

pytestmark = pytest.mark.kernel

SEEKS = "capture_probes:\n  - provider: sys\n    functions: lseek\n"
THREADS = 5000
DAEMONS = 8
PROCESSES = int(os.environ.get("DATACRUMBS_PROCESSES", "1000"))
BOMB_SECONDS = int(os.environ.get("DATACRUMBS_BOMB_SECONDS", "2"))
STOPPED_SECONDS = int(os.environ.get("DATACRUMBS_STOPPED_SECONDS", "3"))
PARTS = ("recorded", "filtered", "counted", "unmatched", "in_flight", "lost_ring_full")


@pytest.fixture(scope="module")
def crowd(build: Callable[..., Path], shared_directory: Path) -> Path:
    """The program, where every user can run it."""
    return Path(shutil.copy(build("crowd.c", "-pthread"), shared_directory))


@pytest.fixture(scope="module")
def seeks(installation: Installation) -> Path:
    return installation.probes(SEEKS)


def made_by(daemon: RunningDaemon, *command: str | Path, **options: object) -> int:
    """How many calls a program says that it made; its longest pause is for whoever reads the output."""
    done = daemon.wrap(*command, capture_output=True, text=True, **options)
    assert (done.returncode, done.stderr) == (0, "")
    made, longest = done.stdout.split()
    print(f"longest pause {int(longest) / 1e6:.1f} ms")
    return int(made)


def check_exact(trace: TraceLines, made: int) -> None:
    """Of all calls, and of the program's: they stand in the trace, or the guard counted them, or the ring was full."""
    footer = trace.footer
    print(f"{made:,} calls:", {part: footer[part] for part in PARTS if footer.get(part)})
    assert footer["entered"] == sum(footer.get(part, 0) for part in PARTS)
    assert trace.counts["lseek"]["entered"] >= made
    own = [call for call in trace.calls if trace.file(call) == "/dev/null"]
    if not footer.get("lost_ring_full"):
        assert len(own) + footer["counted"] == made


def test_thousands_of_threads_at_once(installation: Installation, seeks: Path, crowd: Path) -> None:
    with installation.daemon(seeks) as daemon:
        made = made_by(daemon, crowd, "threads", str(THREADS))
        trace = daemon.lines()
    assert made == 3 * THREADS
    check_exact(trace, made)
    assert len({call["tid"] for call in trace.calls if trace.file(call) == "/dev/null"}) == THREADS


def test_processes_of_a_short_life(installation: Installation, seeks: Path, crowd: Path) -> None:
    with installation.daemon(seeks) as daemon:
        made = made_by(daemon, crowd, "processes", str(PROCESSES))
        trace = daemon.lines()
    assert made == 3 * PROCESSES
    check_exact(trace, made)
    # Ids are used again when there are many; each process has its name all the same.
    assert {call["pid"] for call in trace.calls} <= {line["pid"] for line in trace.metadata}


def test_a_fork_bomb_within_the_limits_of_its_user(
    installation: Installation, crowd: Path, shared_directory: Path
) -> None:
    with installation.daemon(nobodys_probes(installation, shared_directory / "bomb", SEEKS)) as daemon:
        made = made_by(
            daemon, crowd, "bomb", str(BOMB_SECONDS),
            user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (200, 200)),
        )  # fmt: skip
        trace = daemon.lines()
    assert made > 1000
    check_exact(trace, made)


def test_many_daemons_at_once(installation: Installation, seeks: Path, crowd: Path) -> None:
    with ExitStack() as stack:
        daemons = [stack.enter_context(installation.daemon(seeks)) for _ in range(DAEMONS)]
        made = made_by(daemons[0], crowd, "processes", "23", named=False)
        traces = [daemon.lines() for daemon in daemons]
    for trace in traces:
        check_exact(trace, made)


def test_a_daemon_that_is_stopped_holds_nobody_up(place: Installation, seeks: Path, crowd: Path) -> None:
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text("call_ring_mib: 8\n")
    with place.daemon(seeks) as daemon:
        processes = (daemon.process.pid, writer_of(daemon))
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        made = made_by(daemon, crowd, "steady", str(STOPPED_SECONDS * 1000))  # to its end, whatever the daemon does
        for process in reversed(processes):
            os.kill(process, signal.SIGCONT)
        trace = daemon.lines()
    assert made > 1000
    check_exact(trace, made)


def test_a_ring_that_overflows_for_long(place: Installation, seeks: Path, crowd: Path) -> None:
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text("call_ring_mib: 1\nguard_ring_percent: 100\n")
    with place.daemon(seeks) as daemon:
        os.kill(writer_of(daemon), signal.SIGSTOP)
        made = made_by(daemon, crowd, "steady", str(STOPPED_SECONDS * 1000))
        os.kill(writer_of(daemon), signal.SIGCONT)
        after = made_by(daemon, crowd, "processes", "23")
        trace = daemon.lines()
    check_exact(trace, made + after)
    assert trace.footer["lost_ring_full"] > made / 2
    notes = [line["args"] for line in trace.metadata if line["name"] == "datacrumbs_note"]
    assert sum(note["calls"] for note in notes if note["event"] == "lost") == trace.footer["lost_ring_full"]


def test_calls_before_a_kill_are_in_the_trace(installation: Installation, seeks: Path, crowd: Path) -> None:
    """Both processes die at once, as by the kernel's own choice when memory is short."""
    with installation.daemon(seeks) as daemon:
        made = made_by(daemon, crowd, "processes", "23")
        daemon.wait_for("lseek", made)
        for process in (writer_of(daemon), daemon.process.pid):
            os.kill(process, signal.SIGKILL)
        daemon.process.wait()
        trace = read_lines(daemon.trace)
    assert len([call for call in trace.calls if trace.file(call) == "/dev/null"]) == made
    assert not trace.footer
