"""What a process asks the runs of its user: whether it is traced (``--require``), or for another process (``mark``)."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs import client
from datacrumbs.daemon.chosen_processes import Asked
from datacrumbs.engine.engine import Marks
from datacrumbs.model.plan import Plan

from .conftest import COMMANDS, NOBODY, Tracer, system_call_group
from .server import LENGTHS, serve, serving, wait_until_in_read
from .test_run_identity import sizes
from .test_taking import AS_NOBODY, OPEN, WAIT, waiting
from .workloads import writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datacrumbs.engine.engine import Engine
    from datacrumbs.system import SystemConfiguration
    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel

DONE, FAILED, USAGE, REFUSED, NOT_RUN = 0, 1, 2, 3, 125
NAMED = ("--marks", "named")


def run(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.endswith(("_JOB_ID", "_RUN_ID"))}
    command = list(map(str, words))
    return subprocess.run(command, check=False, capture_output=True, text=True, env=clean, **options)


def mark(*words: object) -> tuple[int, str]:
    done = run(COMMANDS / "datacrumbs_mark", *words)
    assert done.stdout == ""
    return done.returncode, done.stderr


def wrap(*words: object) -> tuple[int, str]:
    done = run(COMMANDS / "datacrumbs_wrap", *words)
    return done.returncode, done.stdout + done.stderr


def test_a_running_server(installation: Installation, probes: Path, build: Callable[..., Path], tmp_path: Path) -> None:
    server = build("server.c", "-pthread")
    with (
        serving(server, tmp_path) as first,
        serving(server, tmp_path) as second,
        installation.daemon(probes, arguments=NAMED) as daemon,
    ):
        for process in (first, second):
            serve(process, 2)
            wait_until_in_read(process.pid)
        assert mark("--run-id", daemon.run_id, first.pid) == (DONE, "")
        serve(first, 3)
        serve(second, 7)
        assert mark("--run-id", daemon.run_id, first.pid) == (DONE, "")  # it is traced already
        serve(first, 2)
        trace = daemon.lines()
    found = [(call["pid"], call["args"]["ret"]) for call in trace.named("write") if call["args"]["ret"] in LENGTHS]
    assert {each: found.count(each) for each in found} == {(first.pid, length): 5 * 13 for length in LENGTHS}


def test_the_first_process_is_answered(installation: Installation, probes: Path) -> None:
    """Some kernels' iterators do not come by it; then there was no answer at all."""
    with installation.daemon(probes, arguments=NAMED) as daemon:
        status, said = mark("--run-id", daemon.run_id, 1)
        assert (status, "does not answer" in said) in {(DONE, False), (FAILED, False), (REFUSED, False)}
        assert daemon.stop() == 0


def test_children_from_then_on(installation: Installation, probes: Path) -> None:
    script = f"{' '.join(writes(29, 7))}; echo; read go; {' '.join(writes(101, 7))}; {' '.join(writes(211, 7))} & wait"
    with (
        subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        installation.daemon(probes, arguments=NAMED) as daemon,
    ):
        assert process.stdout.readline() == "\n"
        assert mark(process.pid, "--run-id", daemon.run_id) == (DONE, "")
        process.communicate("\n")
    assert sizes(daemon.lines()) == [101, 211]


def test_two_runs_that_take_marks_without_a_name(installation: Installation, probes: Path) -> None:
    script = f"echo; read go; {' '.join(writes(103, 7))}"
    with (
        subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        installation.daemon(probes, f"one-{os.getpid()}") as one,
        installation.daemon(probes, f"other-{os.getpid()}") as other,
    ):
        assert process.stdout.readline() == "\n"
        assert mark(process.pid) == (DONE, "")
        for daemon in (one, other):  # the other one may not have looked yet
            assert mark(process.pid, "--run-id", daemon.run_id) == (DONE, "")
        process.communicate("\n")
    assert [sizes(daemon.lines()).count(103) for daemon in (one, other)] == [1, 1]


@pytest.mark.parametrize(
    ("process", "status", "message"),
    [
        ((1 << 22) - 1, USAGE, "is not there"),
        (10**9, USAGE, "expected the number of a process"),
        ("x", USAGE, "is not a whole number of 1 or more"),
    ],
)
def test_what_is_no_process(process: object, status: int, message: str) -> None:
    given, said = mark("--run-id", "none", process)
    assert (given, message in said) == (status, True), said


def test_a_run_that_is_not_there(build: Callable[..., Path], tmp_path: Path) -> None:
    with serving(build("server.c", "-pthread"), tmp_path) as server:
        status, said = mark("--run-id", f"none-{os.getpid()}", server.pid)
        assert (status, "datacrumbs_mark: no run of yours takes it" in said) == (NOT_RUN, True), said
        thread = max(map(int, os.listdir(f"/proc/{server.pid}/task")))  # noqa: PTH208 - numbers alone
        assert mark(thread) == (
            USAGE,
            f"datacrumbs_mark: {thread} is a thread of process {server.pid}; give that number\n",
        )


@pytest.fixture(scope="module")
def of_nobody(engine_state: Path, configuration: SystemConfiguration) -> Iterator[Engine]:
    marks = Marks(NOBODY, ("nobodys",), unnamed=False)
    engine = Tracer(Plan((), (system_call_group(("getppid",)),)), engine_state, configuration, marks=marks).engine
    yield engine
    engine.close()


def ask(engine: Engine, *before: str, run_id: str = "nobodys", process: int) -> tuple[int, str]:
    """Ask for a process, while a daemon would look."""
    command = [*before, client.launcher(), "--run-id", run_id, "--pid", str(process)]
    asked = Asked(engine)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as asking:
        while asking.poll() is None:  # it ends by itself after a minute
            asked.look()
            time.sleep(0.01)
        return asking.returncode, asking.stderr.read()


BY_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
LATER = ("unshare", "--time", "--fork", "--boottime=86400")  # there, every process began a day later
CLOSED = (AS_NOBODY,)
OWN = (AS_NOBODY, OPEN)


@pytest.mark.parametrize(
    ("steps", "before", "run_id", "status"),
    [
        (OWN, BY_NOBODY, "nobodys", DONE),
        (OWN, BY_NOBODY, "others", NOT_RUN),
        (OWN, (), "nobodys", NOT_RUN),
        ((), (), "nobodys", NOT_RUN),
        ((), BY_NOBODY, "nobodys", REFUSED),
        (CLOSED, BY_NOBODY, "nobodys", REFUSED),
        (OWN, (*LATER, *BY_NOBODY), "nobodys", FAILED),
    ],
)
def test_who_may_ask_for_what(
    of_nobody: Engine, steps: tuple[str, ...], before: tuple[str, ...], run_id: str, status: int
) -> None:
    """Only the run's user, for what a debugger of theirs may look into, and the process that was meant."""
    with waiting("/usr/bin/python3", "-c", WAIT, *steps) as process:
        given, said = ask(of_nobody, *before, run_id=run_id, process=process)
        assert given == status, said
        traced = of_nobody.maps["dc_traced"].read(65536).any()
        assert traced == (status == DONE)


def test_a_command_that_must_be_recorded(installation: Installation, probes: Path) -> None:
    signals = ["grep", "-E", "^(SigPnd|ShdPnd|SigBlk):", "/proc/self/status"]
    untouched = run(*signals).stdout
    with installation.daemon(probes, arguments=NAMED) as daemon:
        named = ("--run-id", daemon.run_id)
        assert wrap(*named, "--require", *writes(101, 7)) == (DONE, "")
        assert wrap(*named, "--require", "--no-preload", *signals) == (DONE, untouched)
        # In a traced program it is recorded anyway, but not by a run that is not there.
        inner = f"{COMMANDS}/datacrumbs_wrap --require"
        assert wrap(*named, "sh", "-c", f"{inner} {' '.join(writes(211, 7))}") == (DONE, "")
        status, said = wrap(*named, "sh", "-c", f"{inner} --run-id none-{os.getpid()} {' '.join(writes(307, 7))}")
        assert (status, "it was not run" in said) == (NOT_RUN, True)
    assert sizes(daemon.lines()) == [101, 211]
    status, said = wrap(*named, "--require", *writes(401, 7))
    assert (status, said) == (NOT_RUN, "datacrumbs_wrap: no run would record the command; it was not run\n")
