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
from datacrumbs.serving.limited import Bounds, LimitError, UndecidedError, answer, remaining
from datacrumbs.serving.shares import Limits
from datacrumbs.signer.signing_client import REPLY_SECONDS

WIDE = Bounds(memory=256 << 20, processor_seconds=30, clock_seconds=60)
BURNT = 0.4


def burn() -> bytes:
    end = time.process_time() + BURNT
    while time.process_time() < end:
        pass
    return b""


def used_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_the_answer_of_a_child():
    assert answer(lambda: b"answer", WIDE, 100) == b"answer"
    assert answer(lambda: b"answer", WIDE, 3) == b"ans"


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


@pytest.mark.parametrize(("runnable", "seconds"), [(0, 60), (8, 60), (12, 90), (31, 232.5), (1000, 240)])
def test_a_busy_host_gives_more_time_on_the_clock(monkeypatch, runnable, seconds):
    """As much as makes up for the others, and not without end: a request holds up the next one of its user."""
    monkeypatch.setattr(limited.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(limited, "_runnable", lambda: runnable)
    assert WIDE.stretched() == replace(WIDE, clock_seconds=seconds)


def test_a_client_waits_longer_than_a_service_takes(monkeypatch):
    """A decision for which its client does not wait is work for nothing."""
    monkeypatch.setattr(limited, "_runnable", lambda: 1 << 20)
    limits = Limits()
    longest = limits.request_seconds + 2 * limits.wait_seconds + limits.check.stretched().clock_seconds + 1
    assert longest + limits.reply_seconds < min(REPLY_SECONDS, ANSWER_SECONDS)


def test_what_wants_to_run_is_what_the_kernel_says():
    assert limited._runnable() >= 1  # this process


def test_where_the_load_is_hidden_the_time_is_the_longest(monkeypatch, tmp_path):
    """As from the service of runs, whose unit sees nothing but processes below /proc."""
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
        left = remaining(WIDE).clock_seconds
        return json.dumps([left, signal.getitimer(signal.ITIMER_REAL)[0]]).encode()

    theirs, own = json.loads(answer(times, Bounds(256 << 20, 30, 600), 100))
    assert theirs + limited._GRACE_SECONDS < own


def test_this_process_has_no_bounds_of_its_own():
    assert limited.remaining(WIDE) == WIDE
