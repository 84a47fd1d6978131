from __future__ import annotations

import json
import os
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.runs.run_client import ANSWER_SECONDS
from datacrumbs.serving import limited
from datacrumbs.serving.limited import (
    NICENESS,
    QUICK_SECONDS,
    Bounds,
    LimitError,
    UndecidedError,
    answer,
    be_first,
    be_ordinary,
    remaining,
)
from datacrumbs.serving.shares import Limits
from datacrumbs.signer.signing_client import REPLY_SECONDS

WIDE = Bounds(memory=256 << 20, processor_seconds=30, clock_seconds=60)
BURNT = 0.4


def burn(seconds: float = BURNT) -> bytes:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return b""


def used_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_the_answer_of_a_child():
    assert answer(lambda: b"answer", WIDE, 100) == b"answer"
    assert answer(lambda: b"answer", WIDE, 3) == b"ans"


def test_a_child_has_neither_a_terminal_nor_the_log():
    """It parses what others made: what it may be made to write there would count as the service's own words."""

    def work() -> bytes:
        streams = [str(Path(f"/proc/self/fd/{each}").readlink()) for each in range(3)]
        return json.dumps([os.getsid(0) == os.getpid(), streams]).encode()

    assert json.loads(answer(work, WIDE, 1000)) == [True, [os.devnull] * 3]


@pytest.mark.parametrize("work", [lambda: os._exit(7), lambda: 1 / 0, os.abort, lambda: bytes(512 << 20)])
def test_a_child_that_ends_badly(work):
    with pytest.raises(LimitError):
        answer(work, WIDE, 100)


def test_the_children_of_a_child_share_its_processor_time():
    """Forty names of one large file are one request."""

    def request() -> bytes:
        looks = 0
        while True:
            try:
                answer(burn, remaining(WIDE), 100)
            except LimitError:
                return json.dumps(looks).encode()
            looks += 1

    before = used_by_children()
    looks = json.loads(answer(request, Bounds(256 << 20, 2, 600), 100))
    assert 0 < looks <= 2 / BURNT
    assert used_by_children() - before < 2 + 1 + BURNT  # the kernel counts whole seconds


def test_a_child_that_gets_no_processor_is_not_at_fault():
    """What others take of the clock says nothing about its work; what it takes itself does."""
    with pytest.raises(UndecidedError):
        answer(lambda: os.kill(os.getpid(), signal.SIGSTOP) or b"", replace(WIDE, clock_seconds=0.1), 100)
    with pytest.raises(LimitError) as caught:
        answer(lambda: os.kill(os.getpid(), signal.SIGXCPU) or b"", WIDE, 100)
    assert not isinstance(caught.value, UndecidedError)


BUSY = 100.0


@pytest.mark.parametrize(
    ("running", "waiting", "seconds"),
    [(0, 0, 60), (8, 0, 60), (12, 0, 90), (31, 0, 232.5), (1000, 0, 240), (1, 20, 75), (12, 50, 120), (1, BUSY, 240)],
)
def test_a_busy_host_gives_more_time_on_the_clock(host, running, waiting, seconds):
    """As much as makes up for the others, and not without end: a request holds up the next one of its user."""
    host(running, waiting)
    assert WIDE.stretched().clock_seconds == pytest.approx(seconds)


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A host of 8 processors, on which 999 threads wait for a file system, or for a child."""
    monkeypatch.setattr(limited.os, "cpu_count", lambda: 8)
    for name in ("_LOAD", "_PRESSURE"):
        monkeypatch.setattr(limited, name, tmp_path / name)

    def describe(running, waiting=None):
        (tmp_path / "_LOAD").write_text(f"999.00 999.00 999.00 {running}/4000 4711\n")
        if waiting is not None:
            text = f"some avg10={waiting:.2f} avg60=99.00 avg300=99.00 total=1\nfull avg10=0.00 total=0\n"
            (tmp_path / "_PRESSURE").write_text(text)

    return describe


def test_a_kernel_without_pressure_says_what_runs_now(host):
    host(12)
    assert WIDE.stretched().clock_seconds == 90


def test_a_client_waits_longer_than_a_service_takes(monkeypatch):
    """A decision for which its client does not wait is work for nothing."""
    monkeypatch.setattr(limited, "slowness", lambda: 1 << 20)
    limits = Limits()
    longest = limits.request_seconds + 2 * limits.wait_seconds + limits.check.stretched().clock_seconds + 1
    assert longest + limits.reply_seconds < min(REPLY_SECONDS, ANSWER_SECONDS)


def test_what_wants_to_run_is_what_the_kernel_says():
    assert limited.slowness() > 0  # this process


def test_where_the_load_is_hidden_the_time_is_the_longest(monkeypatch, tmp_path):
    """As in a unit that shows only processes below /proc."""
    monkeypatch.setattr(limited, "_LOAD", tmp_path / "absent")
    assert WIDE.stretched().clock_seconds == WIDE.clock_seconds * limited.LONGEST_FACTOR


def test_memory_is_counted_beyond_what_is_inherited():
    held = bytearray(300 << 20)
    assert answer(lambda: b"%d" % len(bytearray(64 << 20)), WIDE, 100) == b"%d" % (64 << 20)
    del held


def test_a_child_has_no_descriptors_but_those_that_it_needs():
    reader, writer = os.pipe()
    kept = os.open("/dev/null", os.O_RDONLY)
    try:
        found = json.loads(
            answer(
                lambda: json.dumps([path.name for path in Path("/proc/self/fd").iterdir()]).encode(),
                WIDE,
                1000,
                keep=(kept,),
            )
        )
        descriptors = set(map(int, found))
        assert kept in descriptors
        assert len(descriptors) <= 3 + 3  # the standard streams, the answer, what is kept, the directory
    finally:
        for descriptor in (reader, writer, kept):
            os.close(descriptor)


def test_a_child_of_a_child_is_killed_while_that_is_there():
    """It may have been stopped, and then its own alarm does not end it."""

    def times() -> bytes:
        own = signal.getitimer(signal.ITIMER_REAL)[0]  # first: what is left only becomes less
        return json.dumps([own, remaining(WIDE).clock_seconds]).encode()

    own, theirs = json.loads(answer(times, Bounds(256 << 20, 30, 600), 100))
    assert theirs + limited._GRACE_SECONDS < own


def test_this_process_has_no_bounds_of_its_own():
    assert limited.remaining(WIDE) == WIDE


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


@pytest.fixture
def first():
    if os.geteuid() != 0:
        pytest.skip("has processors before others")
    before = niceness()
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    be_first()
    yield
    os.setpriority(os.PRIO_PROCESS, 0, before)


@pytest.mark.usefixtures("first")
def test_only_what_is_quick_comes_before_other_processes():
    """Two users keep the processors busy; who asks seldom is not to wait for theirs at each step."""

    def work() -> bytes:
        at_first = niceness()
        before = time.process_time()
        while niceness() == at_first and time.process_time() - before < 2:
            pass
        return json.dumps([at_first, time.process_time() - before, niceness()]).encode()

    at_first, seconds, later = json.loads(answer(work, WIDE, 1000))
    assert (niceness(), at_first, later) == (NICENESS, NICENESS, 0)
    assert seconds > QUICK_SECONDS / 2


@pytest.mark.usefixtures("first")
def test_many_children_of_one_request_are_as_slow_as_one():
    """Forty names of one large file, each looked at by a child of its own."""

    def seen() -> bytes:
        at_first = niceness()
        burn(QUICK_SECONDS / 2)
        return str(at_first).encode()

    def request() -> bytes:
        found = []
        while not found or found[-1]:
            found.append(int(answer(seen, remaining(WIDE), 100)))
        return json.dumps(found).encode()

    found = json.loads(answer(request, WIDE, 1000))
    assert found[0] == NICENESS
    assert 2 <= len(found) <= 4


@pytest.mark.usefixtures("first")
def test_who_was_slowed_down_on_purpose_stays_so():
    be_ordinary()
    assert niceness() == 0
    os.setpriority(os.PRIO_PROCESS, 0, 5)
    be_first()
    be_ordinary()
    assert niceness() == 5
