"""Events of the kernel: nothing but their declared fields, and only of the traced task."""

from __future__ import annotations

import os
import resource
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.kernel.tracepoints import parse_format
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, Target

from .conftest import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.system import SystemConfiguration

TRACEFS = Path("/sys/kernel/tracing/events")


def _plan(symbol: str, arguments: Sequence[Argument]) -> Plan:
    function = Function(symbol.partition(":")[2], symbol, "KERNEL", arguments=tuple(arguments), result=Result.VOID)
    return Plan((), (_group((function,)),))


def _group(functions: tuple[Function, ...]) -> Group:
    return Group("sys", "kernel", Attach.TRACEPOINT, Target("", os.uname().release), functions)


def _fields(symbol: str, *names: str) -> list[Argument]:
    described = {
        field.name: field for field in parse_format((TRACEFS / symbol.replace(":", "/") / "format").read_text())
    }
    fields = [described[name] for name in names]
    return [
        Argument(field.offset, field.name, field.ctype, size=field.size, signed=field.signed)
        if field.scalar
        else Argument(field.offset, field.name, "char[8]", size=8, signed=False)
        for field in fields
    ]


@pytest.mark.parametrize(
    ("symbol", "offsets"),
    [
        ("raw_syscalls:sys_exit", range(24, 64, 8)),
        ("raw_syscalls:sys_exit", (120,)),
        ("raw_syscalls:sys_exit", (0,)),
        ("kmem:kmalloc", (8,)),
        ("kmem:kmalloc", (16,)),
    ],
)
def test_what_an_event_does_not_declare_is_not_probed(
    symbol: str, offsets: Sequence[int], engine_state: Path, configuration: SystemConfiguration
) -> None:
    """Behind the record of an event is what earlier events of other users left; addresses are the kernel's own."""
    plan = _plan(symbol, [Argument(offset, f"at_{offset}", "long", size=8) for offset in offsets])
    with pytest.raises(
        DatacrumbsError, match=f"event {symbol}: at_{offsets[0]}: .* are not a declared number"
    ) as caught:
        Tracer(plan, engine_state, configuration)
    assert caught.value.exit_code == ExitCode.REFUSED


def test_numbers(engine_state: Path, configuration: SystemConfiguration) -> None:
    plan = _plan("raw_syscalls:sys_exit", _fields("raw_syscalls:sys_exit", "id", "ret"))
    tracer = Tracer(plan, engine_state, configuration)
    with closing(tracer.engine):
        trace = tracer.run("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=7", "count=1009", "status=none")
    write = 1 if os.uname().machine == "x86_64" else 64
    values = trace.calls["values"][trace.calls["values"][:, 0] == write]
    assert values[:, 1].tolist() == [7] * 1009
    assert not trace.calls["values"][:, 2:].any()


def test_a_text_ends_at_its_zero(engine_state: Path, configuration: SystemConfiguration) -> None:
    """The kernel copies a name and a zero over what the buffer held before."""
    plan = _plan("task:task_rename", _fields("task:task_rename", "newcomm", "oldcomm"))
    tracer = Tracer(plan, engine_state, configuration)
    program = "import pathlib\nfor name in ('abcdefghijk', 'x') * 11: pathlib.Path('/proc/self/comm').write_text(name)"
    with closing(tracer.engine):
        trace = tracer.run("/usr/bin/python3", "-S", "-c", program)
    names = [int(value).to_bytes(8, "little") for value in trace.calls["values"][-22:, 0]]
    assert names == [b"abcdefgh", b"x".ljust(8, b"\0")] * 11


def test_another_tasks_event_is_not_recorded(engine_state: Path, configuration: SystemConfiguration) -> None:
    """An event belongs to the task in which it happens; one that is not traced gives none."""
    plan = _plan("task:task_rename", _fields("task:task_rename", "pid"))
    tracer = Tracer(plan, engine_state, configuration)
    program = "import pathlib\nfor name in range(101): pathlib.Path('/proc/self/comm').write_text(str(name))"
    with closing(tracer.engine), subprocess.Popen(["/usr/bin/python3", "-S", "-c", program]) as other:
        trace = tracer.run("/usr/bin/python3", "-S", "-c", program)
        assert other.wait(300) == 0
    renames = trace.calls[-101:]
    assert set(trace.calls["process"]) == set(renames["process"])
    assert other.pid not in set(trace.calls["process"])
    assert np.array_equal(renames["values"][:, 0], renames["process"])


def test_the_work_of_interrupts_is_not_the_tasks_that_they_come_in(
    engine_state: Path, configuration: SystemConfiguration, build: Callable[..., Path]
) -> None:
    """A timer wakes another process in the middle of the computing one; what that one wakes itself is recorded."""
    tracer = Tracer(_plan("sched:sched_waking", _fields("sched:sched_waking", "pid")), engine_state, configuration)
    with closing(tracer.engine):
        trace = tracer.run(str(build("disturbed.c")), capture_output=True, text=True)
    assert trace.status == 0
    other = int(str(trace.output))
    waked = trace.calls[trace.calls["values"][:, 0] == other]
    assert len(waked[waked["process"] != other]) == 13


def test_more_events_than_open_files(engine_state: Path, configuration: SystemConfiguration) -> None:
    symbols = sorted(f"{path.parent.parent.name}:{path.parent.name}" for path in TRACEFS.glob("ext4/*/id"))
    functions = tuple(Function(symbol.partition(":")[2], symbol, "KERNEL", result=Result.VOID) for symbol in symbols)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(list(Path("/proc/self/fd").iterdir())) + len(symbols) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        assert len(symbols) > 100
        tracer = Tracer(Plan((), (_group(functions),)), engine_state, configuration)
        tracer.engine.close()
        assert (tracer.report.functions, tracer.report.failures) == (len(symbols), ())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
