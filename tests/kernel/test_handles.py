"""Handles have the file they were opened on: in children, after they are given back, and when they are used again."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.model.contract import Take
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, Role
from datacrumbs.model.record import FIRST_KIND

from .conftest import PATH, Trace, Tracer
from .server import began

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.kernel

HANDLE = Argument(0, "handle", "long", Role.HANDLE)
THINGS = {
    "thing_open": ((PATH,), Result.HANDLE),
    "thing_make": ((), Result.HANDLE),
    "thing_use": ((HANDLE, Argument(1, "tag", "long", Role.VALUE)), Result.VALUE),
    "thing_hold": ((HANDLE,), Result.VALUE),
    "thing_release": ((Argument(0, "handle", "long", Role.RELEASED),), Result.NEGATIVE),
    "thing_close": ((Argument(0, "handle", "long", Role.CLOSED),), Result.CODE),
}
FILES = {
    1: "first", 2: "first", 3: "second", 4: "first", 5: "second", 6: "", 7: "third",
    10: "third", 11: "even", 12: "odd", 13: "even", 14: "odd",
    20: "even", 21: "odd", 22: "even", 23: "odd", 24: "even",
    30: "", 31: "", 32: "second", 33: "", 90: "",
}  # fmt: skip


@pytest.fixture(scope="module")
def things(build: Callable[..., Path]) -> Path:
    return build("things.c", "-shared", "-fPIC", name="libthings.so")


@pytest.fixture(scope="module")
def tracer(things: Path, engine_state: Path, configuration):
    """An engine for a library that makes and closes handles."""
    offsets = {function.name: function.offset for function in elf_functions(things)}
    functions = tuple(
        Function(name, name, "THINGS", offsets[name], arguments=arguments, result=result)
        for name, (arguments, result) in THINGS.items()
    )
    group = Group("things", "things", Attach.UPROBE, elf_target(things), functions)
    with Tracer(Plan((), (group,)), engine_state, configuration) as tracer:
        yield tracer


@pytest.fixture(scope="module")
def trace(tracer: Tracer, things: Path, build: Callable[..., Path]) -> Trace:
    program = build("handles.c", str(things), f"-Wl,-rpath,{things.parent}")
    trace = tracer.run(str(program))
    assert trace.status == 0
    return trace


def test_each_use_of_a_handle_has_its_file(trace: Trace) -> None:
    uses = {int(call["values"][1]): trace.path(call["file"]).rpartition("/")[2] for call in trace.named("thing_use")}
    assert uses == FILES


def test_the_call_that_closes_has_the_file(trace: Trace) -> None:
    closed = [trace.path(call["file"]).rpartition("/")[2] for call in trace.named("thing_close")]
    assert sorted(closed) == ["even", "even", "even", "first", "odd", "odd", "second", "third"]


def test_every_call_is_accounted_for(trace: Trace, tracer: Tracer) -> None:
    counts = tracer.engine.counts()
    assert all(count.balanced for count in counts)
    assert sum(count.recorded for count in counts) == sum(count.entered for count in counts)
    assert tracer.engine.totals()["handles_lost"] == 0


def test_handles_that_were_made_before_the_process_was_traced(
    tracer: Tracer, things: Path, build: Callable[..., Path]
) -> None:
    tracer.drain()
    program = build("handles_before.c", str(things), f"-Wl,-rpath,{things.parent}")
    before = tracer.engine.totals()["handles_unknown"]
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.read(1) == b"."
        assert tracer.engine.take({process.pid: began(process.pid)}) == {process.pid: Take.TAKEN}
        process.communicate(b"\n")
    records = tracer.drain()
    trace = Trace(tracer.plan, records[records["function"] < FIRST_KIND], records, dict(tracer.names), 0)
    uses = {int(call["values"][1]): trace.path(call["file"]).rpartition("/")[2] for call in trace.named("thing_use")}
    assert uses == {41: "", 43: "after", 47: "", 53: "after"}
    assert [trace.path(call["file"]).rpartition("/")[2] for call in trace.named("thing_close")] == ["", "after"]
    assert tracer.engine.totals()["handles_unknown"] - before == 3
