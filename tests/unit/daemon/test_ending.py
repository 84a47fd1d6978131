"""A run comes to its end in a bounded time, with a footer that accounts for what there was no time to write."""

from __future__ import annotations

import configparser
import gzip
import io
import json
import os
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.daemon.channel import Channel, Received
from datacrumbs.daemon.ending import FOOTER_SECONDS, STOP_SECONDS, Ending
from datacrumbs.daemon.messages import FROM_WRITER, TO_WRITER, AddProfiles, Finish, Full, Profiled, Written
from datacrumbs.daemon.profile_transfer import profiles_file
from datacrumbs.daemon.writing import Writing
from datacrumbs.errors import DatacrumbsError
from datacrumbs.installed import SHIPPED, installed
from datacrumbs.model.plan import Attach, Filters, Function, Group, Plan, Target
from datacrumbs.model.record import PROFILE, RECORD, Batch, FunctionCounts
from datacrumbs.trace.writer import TraceWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALLS, PROFILED, BATCHES = 101, 211, 7


class FakeSpool:
    """Batches that are there already, and what is put behind them."""

    def __init__(self, batches: list[Batch]) -> None:
        self._queue: list[Batch | NDArray[np.void]] = [*batches]

    @property
    def waiting(self) -> bool:
        return bool(self._queue)

    def fill(self) -> int:
        return 0

    def put(self, profiles: NDArray[np.void]) -> None:
        self._queue.append(profiles)

    def take(self) -> Batch | NDArray[np.void] | None:
        return self._queue.pop(0) if self._queue else None


class FakeWriter:
    """A process that writes and says what it is made to say."""

    def __init__(self, *messages: object) -> None:
        self._messages = list(messages)

    def receive(self, seconds: float) -> Received | None:
        assert seconds < 1
        return Received(self._messages.pop(0)) if self._messages else None


def function_plan() -> Plan:
    return Plan(
        (),
        (Group("sys", "system calls", Attach.SYSCALL, Target("", "6.1.0"), (Function("read", "read", "POSIX"),)),),
        (),
        Filters(),
    )


def footer_after(seconds: float) -> tuple[dict[str, int], Written]:
    """What a backlog comes to, when the process that writes may write so long after the end was told."""
    calls = np.zeros(CALLS, RECORD)
    calls["process"] = calls["thread"] = os.getpid()
    profiles = np.zeros(1, PROFILE)
    profiles["count"], profiles["process"] = PROFILED, os.getpid()
    ours, theirs = (
        Channel(end, accepted, 1 << 20, takes_descriptors=True)
        for end, accepted in zip(socket.socketpair(), (FROM_WRITER, TO_WRITER), strict=True)
    )
    with profiles_file(profiles) as descriptor:
        ours.send(AddProfiles(), descriptors=[descriptor])
    entered = CALLS * BATCHES + PROFILED
    counts = FunctionCounts(entered, CALLS * BATCHES, counted=PROFILED, causes={"counted_profile": PROFILED})
    ours.send(Finish(1, [(0, asdict(counts))], {}, {}, seconds))
    stream = io.BytesIO()
    writer = TraceWriter(stream, function_plan(), host="node", epoch_offset_ns=0, user="me", flush_seconds=60)
    spool = FakeSpool([Batch(calls) for _ in range(BATCHES)])
    Writing(theirs, writer, spool, waker=theirs.fileno()).run()  # type: ignore[arg-type]
    said: list[object] = []
    while not said or not isinstance(said[-1], Written):
        received = ours.receive(60)
        assert received is not None
        said.append(received.message)
    assert Profiled() in said
    ours.close()
    theirs.close()
    last = gzip.decompress(stream.getvalue()).splitlines()[-2]
    return json.loads(last)["args"], said[-1]


def test_everything_is_written_in_time() -> None:
    footer, told = footer_after(600)
    assert (footer["recorded"], footer["counted"], footer.get("lost_unfinished")) == (CALLS * BATCHES, PROFILED, None)
    assert told == Written(CALLS * BATCHES + PROFILED, CALLS * BATCHES, lost=0, balanced=True)


def test_what_there_is_no_time_for_is_counted_as_lost() -> None:
    footer, told = footer_after(0)
    entered, recorded = CALLS * BATCHES + PROFILED, CALLS * 2  # two were written before the end was told
    lost = entered - recorded
    assert (footer["counted"], footer["lost_unfinished"], footer["counted_profile"]) == (0, lost, 0)
    assert told == Written(entered, recorded, lost, balanced=True)


def test_the_answer_ends_the_wait() -> None:
    written = Written(13, 11, 2, balanced=True)
    assert Ending().answer(FakeWriter(Profiled(), Full(), written), lambda: False) == written  # type: ignore[arg-type]


@pytest.mark.parametrize("writer", [FakeWriter(), FakeWriter(*[Profiled()] * 1009)], ids=["silent", "talking"])
def test_a_writer_that_comes_to_no_end_is_not_waited_for(writer: FakeWriter) -> None:
    with pytest.raises(DatacrumbsError, match="did not finish in time"):
        Ending(seconds=0).answer(writer, lambda: False)  # type: ignore[arg-type]


def test_a_second_stop_is_heard_even_while_the_writer_talks() -> None:
    with pytest.raises(DatacrumbsError, match="stopped again"):
        Ending().answer(FakeWriter(*[Profiled()] * 1009), lambda: True)  # type: ignore[arg-type]


def test_the_unit_waits_longer_than_the_daemon() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(installed("data", SHIPPED / "datacrumbs@.service").read_text())
    assert parser.getfloat("Service", "TimeoutStopSec") >= STOP_SECONDS + 20
    assert 0 < FOOTER_SECONDS < STOP_SECONDS
