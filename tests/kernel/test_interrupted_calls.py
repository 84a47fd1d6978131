"""Calls that signals interrupt: one for each that the program made, with the result that the program saw."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.site import ProviderEntry

from .conftest import Trace, Tracer, composed
from .test_depths import innermost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.model.plan import Plan

pytestmark = pytest.mark.kernel

ROUNDS = 7
NAMES = ("read", "poll", "ppoll", "clock_nanosleep", "write")
# What the C library calls where a machine has no such call, as arm64.
INSTEAD = {} if os.uname().machine == "x86_64" else {"poll": "ppoll"}


def _plan(names: tuple[str, ...]) -> Plan:
    plan = composed(ProviderEntry("sys", preset="all"))
    groups = [
        replace(group, functions=tuple(each for each in group.functions if not names or each.symbol in names))
        for group in plan.groups
    ]
    return replace(plan, groups=tuple(group for group in groups if group.functions))


@pytest.fixture(scope="module", params=[(), NAMES], ids=["all", "few"])
def tracer(request: pytest.FixtureRequest, engine_state: Path, configuration):
    """An engine that is told of the kernel's ways to go on (restart_syscall, rt_sigreturn), and one that is not."""
    with Tracer(_plan(request.param), engine_state, configuration) as tracer:
        yield tracer


@pytest.fixture(scope="module")
def trace(tracer: Tracer, build: Callable[..., Path]) -> Trace:
    trace = tracer.run(str(build("interrupted.c")), str(ROUNDS), capture_output=True, text=True)
    assert trace.status == 0
    return trace


def _told(trace: Trace) -> list[tuple[str, int, int]]:
    lines = [line.split() for line in str(trace.output).splitlines()]
    return [(INSTEAD.get(name, name), int(result), int(error)) for name, result, error in lines]


def _seen(trace: Trace, names: tuple[str, ...]) -> list[tuple[str, int, int]]:
    (process,) = (result for name, result, _ in _told(trace) if name == "process")
    functions = trace.plan.functions
    calls = trace.calls[(trace.calls["process"] == process) & (trace.calls["result"] < 2)]
    named = [(functions[call["function"]].symbol, call) for call in calls]
    return [(name, int(call["result"]), int(call["errno"])) for name, call in named if name in names]


def test_each_call_is_one_with_its_result(trace: Trace) -> None:
    told = [line for line in _told(trace) if line[0] in NAMES]
    assert len(told) == 16 * ROUNDS
    # The handler that reads itself does so once in a round.
    expected = Counter(told) + Counter({("read", 1, 0): ROUNDS})
    assert Counter(_seen(trace, NAMES)) == expected


def test_calls_of_handlers_are_calls_of_their_own(trace: Trace) -> None:
    (handled,) = (result for name, result, _ in _told(trace) if name == "handled")
    assert handled == 17 * ROUNDS
    writes = trace.named("write")
    assert int((writes["result"] == 13).sum()) == handled


def test_no_error_of_the_kernel_alone(trace: Trace) -> None:
    assert set(trace.calls["errno"].tolist()) & set(range(512, 517)) == set()


def test_a_call_lasts_from_its_beginning_to_its_end(trace: Trace) -> None:
    (process,) = (result for name, result, _ in _told(trace) if name == "process")
    own = trace.calls[trace.calls["process"] == process]
    ends = own["start"] + own["duration"]
    reads = trace.named("read")
    reads = reads[(reads["process"] == process) & (reads["result"] == 1)]
    handlers = trace.named("write")[trace.named("write")["result"] == 13]
    within = [
        int(((handlers["start"] > read["start"]) & (handlers["start"] < read["start"] + read["duration"])).sum())
        for read in reads
    ]
    # Restarted reads contain the handlers that interrupted them: 1, 3, 1, 1, 2 of those whose handlers do not read
    # themselves, then 2 and, of the inner one, 1.
    assert sum(within) == 11 * ROUNDS
    assert (ends >= own["start"]).all()


def test_a_restart_is_no_call(trace: Trace) -> None:
    assert trace.count("restart_syscall") == 0


def test_a_call_whose_handler_jumps_away_never_returns(trace: Trace, tracer: Tracer) -> None:
    counts = dict(zip([each.symbol for each in tracer.plan.functions], tracer.engine.counts(), strict=True))
    assert all(count.balanced for count in counts.values())
    assert counts["read"].unmatched == ROUNDS
    assert counts["read"].entered == counts["read"].recorded + ROUNDS


def test_calls_of_handlers_are_inside_the_call_that_goes_on(trace: Trace) -> None:
    (process,) = (result for name, result, _ in _told(trace) if name == "process")
    own = trace.calls[trace.calls["process"] == process]
    parents = innermost(own)
    inside = [row for row, parent in enumerate(parents) if parent >= 0]
    assert inside
    assert all(own["depth"][row] == own["depth"][parents[row]] + 1 for row in inside)
