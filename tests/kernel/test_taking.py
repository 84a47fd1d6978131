"""Processes that run already and did not mark themselves: from the moment of attaching, every call, exactly once."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from datacrumbs.engine.engine import Marks
from datacrumbs.model.contract import Take
from datacrumbs.model.plan import Plan
from datacrumbs.model.record import FIRST_KIND, RecordKind

from .conftest import NOBODY, Trace, Tracer, system_call_group
from .server import LENGTHS, began, serve, serving, wait_until_in_read
from .storm import children, since, storming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datacrumbs.engine.engine import Engine
    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel


def test_fork_storm(tracer, build: Callable[..., Path]) -> None:
    storm = build("storm.c", "-pthread")
    tracer.drain()
    with storming(storm) as process:
        made = children(process, 101)
        assert tracer.engine.take({process.pid: began(process.pid)}) == {process.pid: Take.TAKEN}
        made += children(process, 101, time.monotonic_ns())
        process.stdin.close()
        made += list(since(process))
    records = tracer.drain()
    events, calls = records[records["function"] >= FIRST_KIND], records[records["function"] < FIRST_KIND]
    start = events[events["function"] == RecordKind.START]
    assert start["process"].tolist() == [process.pid]
    name = tracer.names[int(start["file"][0])]
    assert name.text == os.fspath(storm)
    counted = Counter(calls["process"][np.isin(calls["function"], identities(tracer, "getppid"))].tolist())
    traced = {child for child, *_ in made if counted[child]}
    for child, grandchild, before, after in made:
        if before > start["start"][0]:
            assert child in traced
        if after < start["start"][0]:
            assert child not in traced
        assert (counted[child], counted[grandchild]) == ((7, 11) if child in traced else (0, 0))
    assert len(traced) >= 101


@pytest.mark.parametrize("options", [(), ("filtered",)])
def test_all_threads_of_a_server_and_what_it_had_open(
    tracer, build: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    tracer.drain()
    before = tracer.engine.totals()["returns_without_entry"]
    with serving(build("server.c", "-pthread"), tmp_path, *options) as process:
        serve(process, 3)
        wait_until_in_read(process.pid)
        assert tracer.engine.take({process.pid: began(process.pid)}) == {process.pid: Take.TAKEN}
        assert tracer.engine.take({process.pid: began(process.pid)}) == {process.pid: Take.TRACED}
        serve(process, 5)
    records = tracer.drain()
    trace = Trace(tracer.plan, records[records["function"] < FIRST_KIND], records, dict(tracer.names), 0)
    assert trace.count("getppid") == 5 * 13 * len(LENGTHS)
    assert len(np.unique(trace.named("getppid")["thread"])) == len(LENGTHS)
    # The reads that each thread was in are not there, nor the last ones, in which the process ended.
    reads = trace.named("read")
    threads = Counter(reads["thread"].tolist())
    assert threads.pop(process.pid) == 5 * (1 + len(LENGTHS))
    assert sorted(threads.values()) == [5 - 1] * len(LENGTHS)
    assert (reads["duration"] > 0).all()
    written = Counter((int(call["result"]), trace.path(call["file"])) for call in trace.named("write"))
    for length, name in LENGTHS.items():
        found = [(path, count) for (size, path), count in written.items() if size == length]
        assert len(found) == 1, length
        path, count = found[0]
        assert count == 5 * 13
        assert re.fullmatch(name.format(tmp_path), path), path
    # With a filter, the ends of these reads might be those of refused calls; and some engines probe vfs_read as well.
    ends = bool(options) + any(function.name == "vfs_read" for function in tracer.plan.functions)
    assert tracer.engine.totals()["returns_without_entry"] - before == ends * (1 + len(LENGTHS))


@pytest.fixture(scope="module")
def of_nobody(engine_state: Path, configuration: SystemConfiguration) -> Iterator[Engine]:
    plan = Plan((), (system_call_group(("getppid",)),))
    engine = Tracer(plan, engine_state, configuration, marks=Marks(NOBODY)).engine
    yield engine
    engine.close()


@contextmanager
def waiting(*command: str | Path, **options: Any) -> Iterator[int]:
    """The process id of a command that has begun to wait for the end of its input."""
    with subprocess.Popen([*command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options) as process:
        assert process.stdout.read(1)
        yield process.pid
        process.stdin.close()
        process.wait()


WAIT = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
for step in sys.argv[1:]:
    exec(step)
os.write(1, b".")
os.read(0, 1)
"""
AS_NOBODY = "os.setgroups([]), os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)"
OPEN = "libc.prctl(4, 1)"  # PR_SET_DUMPABLE: as after an execve
KEEP = "libc.prctl(8, 1)"  # PR_SET_KEEPCAPS


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        ((AS_NOBODY, OPEN), Take.TAKEN),
        ((AS_NOBODY,), Take.CLOSED),
        ((), Take.FOREIGN),
        (("os.setresuid(65534, 65534, 0)", OPEN), Take.FOREIGN),
        (("os.setresuid(65534, 0, 65534)", OPEN), Take.FOREIGN),
        (("os.setresuid(0, 65534, 65534)", OPEN), Take.FOREIGN),
        (("os.setresgid(65534, 65534, 0)", "os.setresuid(65534, 65534, 65534)", OPEN), Take.PRIVILEGED),
        (("os.setresgid(65534, 0, 65534)", "os.setresuid(65534, 65534, 65534)", OPEN), Take.PRIVILEGED),
        ((KEEP, AS_NOBODY, OPEN), Take.PRIVILEGED),
        ((AS_NOBODY, OPEN, "libc.unshare(0x10000000)", OPEN), Take.TAKEN),  # CLONE_NEWUSER
    ],
)
def test_who_may_be_traced(of_nobody: Engine, steps: tuple[str, ...], outcome: Take) -> None:
    """What ptrace lets a user without capabilities do, root or not who asks."""
    with waiting("/usr/bin/python3", "-c", WAIT, *steps) as process:
        assert of_nobody.take({process: began(process)}) == {process: outcome}
        assert of_nobody.take({process: began(process) + 1}) == {process: Take.ANOTHER}
    assert not of_nobody.maps["dc_traced"].read(65536).any()


def test_a_process_that_has_ended(of_nobody: Engine) -> None:
    process = subprocess.Popen(["true"], user=NOBODY)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert of_nobody.take({process.pid: began(process.pid)}) == {process.pid: Take.ENDED}
    process.wait()
    assert of_nobody.take({process.pid: 1}) == {}
    assert not of_nobody.maps["dc_traced"].read(65536).any()


def identities(tracer, name: str) -> list[int]:
    return [index for index, function in enumerate(tracer.plan.functions) if function.name == name]
