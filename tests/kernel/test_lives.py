"""Threads and processes in all the ways in which they live and die: every call, exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.model.record import CallFlag, RecordKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.kernel


def test_every_thread(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "threads")
    assert trace.count("getppid") == 23 * 7
    assert len(np.unique(trace.named("getppid")["thread"])) == 23
    assert len(np.unique(trace.named("getppid")["process"])) == 1


def test_forked_children(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "forks")
    assert trace.count("getppid") == 3 + 5 * (7 + 11)
    assert (trace.events["function"] == RecordKind.FORK).sum() == 10
    assert (trace.events["function"] == RecordKind.EXIT).sum() == 11


def test_vforked_children(tracer, lives: Path) -> None:
    assert tracer.run(str(lives), "vforks").count("getppid") == 5 * 7


def test_spawned_children(tracer, lives: Path) -> None:
    assert tracer.run(str(lives), "spawns").count("getppid") == 5 * 11


def test_exec_chain(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "chain", "12")
    assert trace.count("getppid") == 13 * 7
    assert trace.returned("execve") == 13
    assert len(np.unique(trace.calls["process"])) == 1


def test_static_program(tracer, build: Callable[..., Path]) -> None:
    static = build("lives.c", "-pthread", "-static", "-DWITHOUT_LAYER", name="lives_static")
    assert tracer.run(str(static), "forks").count("getppid") == 3 + 5 * (7 + 11)


def test_recursion_and_nesting(tracer, lives: Path) -> None:
    index = [function.name for function in tracer.plan.functions].index("layer_recurse")
    before = tracer.engine.counts()[index].lost.get("too_deep", 0)
    trace = tracer.run(str(lives), "recursion")
    assert trace.status == 0
    calls = trace.named("layer_recurse")
    deep = 67 - 32  # below the 32 frames that the engine follows
    assert len(calls) == 3 * 17 + 32
    assert calls["values"][:17, 0].tolist() == list(range(1, 18))  # the innermost returns first
    assert calls["result"][:17].tolist() == list(range(1, 18))
    assert trace.count("layer_nested") == 5
    assert trace.count("layer_add") == 10
    assert tracer.engine.counts()[index].lost == {"too_deep": before + deep}
    nested, added = trace.named("layer_nested"), trace.named("layer_add")
    assert (added["start"][0] >= nested["start"][0]).all()
    assert added["start"][1] + added["duration"][1] <= nested["start"][0] + nested["duration"][0]


def test_callback_into_a_probed_function(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "callbacks")
    assert trace.status == 0
    assert trace.named("layer_call")["result"].tolist() == [42] * 5
    assert trace.count("layer_add") == 5


def test_longjmp_out_of_a_call(tracer, lives: Path) -> None:
    before = tracer.engine.counts()
    trace = tracer.run(str(lives), "leaps")
    assert trace.status == 0
    index = [function.name for function in tracer.plan.functions].index("layer_leap")
    after = tracer.engine.counts()
    assert after[index].entered - before[index].entered == 7
    assert after[index].unmatched - before[index].unmatched == 7
    assert trace.count("layer_leap") == 0
    assert trace.count("layer_add") == 5


def test_interrupted_by_a_signal(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "interrupted")
    assert trace.status == 0
    reads = trace.named("read")
    interrupted = reads[(reads["flags"] & CallFlag.FAILED) != 0]
    assert len(interrupted) == 5
    assert (interrupted["duration"] > 5_000_000).all()


def test_killed_in_a_call(tracer, lives: Path) -> None:
    before = tracer.engine.counts()
    tracer.run(str(lives), "killed")
    after = tracer.engine.counts()
    index = [function.name for function in tracer.plan.functions].index("layer_wait")
    assert after[index].entered - before[index].entered == 5
    assert after[index].unmatched - before[index].unmatched == 5


def test_library_failures_carry_the_error_of_the_system_call_behind(tracer, lives: Path) -> None:
    calls = tracer.run(str(lives), "failing").named("layer_fail")
    assert calls["result"].tolist() == [-1] * 8
    assert calls["errno"].tolist() == [9] * 5 + [21] * 3  # EBADF, EISDIR


def test_process_ids_are_used_again_without_mistake(tracer, lives: Path) -> None:
    """A mark dies with its process: processes that nobody marked are not traced, whatever their id."""
    import subprocess

    trace = tracer.run(str(lives), "short", "499")
    assert trace.count("getppid") == 2 * 499
    assert not tracer.engine.maps["dc_traced"].read(65536).any()
    subprocess.run([lives, "short", "499"], check=True)
    assert len(tracer.drain()) == 0


def test_conservation(tracer) -> None:
    tracer.drain()
    for function, count in zip(tracer.plan.functions, tracer.engine.counts(), strict=True):
        assert count.balanced, (function.name, count)
    assert [count.recorded for count in tracer.engine.counts()] == tracer.seen.tolist()
