"""From measured times to what a call costs."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.daemon import calibration
from datacrumbs.daemon.calibration import Calibration, Times, TooBusyError, are_exact, find_costs
from datacrumbs.daemon.chosen_processes import Chosen
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.model.plan import Attach, Function, Group, Plan, Target
from datacrumbs.system import SystemConfiguration
from datacrumbs.trace.costs import CallCost

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("getppid", "write", "dc_cost_emulated", "dc_cost_stepped", "dc_cost_emulated_entry", "dc_cost_stepped_entry")


CALL = Function("write", "write", "POSIX", 1)
PLAN = Plan((), (Group("sys", "system calls", Attach.SYSCALL, Target("", os.uname().release), (CALL,)),))


def times(*numbers: float, spread: float = 0) -> dict[str, Times]:
    return {name: Times(number, number + spread) for name, number in zip(NAMES, numbers, strict=True)}


BARE = times(100, 130, 1, 1, 1, 1)
GATED = times(140, 170, 1, 1, 1, 1)
TWICE = times(160, 190, 301, 901, 301, 901)
TRACED = times(400, 500, 1101, 5001, 601, 3001)


def test_costs_without_the_gate_of_the_other_run() -> None:
    """At a system call 20 of the nanoseconds are the second program's; at functions all are the probe's."""
    assert find_costs(BARE, GATED, TWICE, TRACED, "", is_split=True) == {
        "system call": CallCost.between(280, 350),
        "function": CallCost(1100, 0),
        "function, single-stepped": CallCost(5000, 0),
        "function without return": CallCost(600, 0),
        "function without return, single-stepped": CallCost(3000, 0),
    }


def test_ways_that_are_not_told_apart_have_one_cost() -> None:
    costs = find_costs(BARE, GATED, TWICE, TRACED, ", added up", is_split=False)
    assert costs["function, added up"] == CallCost.between(1100, 5000)
    assert "function, single-stepped, added up" not in costs


def test_rounds_that_differ_are_a_margin() -> None:
    noisy = times(400, 500, 1101, 5001, 601, 3001, spread=50)
    assert find_costs(BARE, GATED, TWICE, noisy, "", is_split=True)["function"] == CallCost.between(1100, 1150)


def test_what_is_not_in_the_program_has_no_cost() -> None:
    traced = {"getppid": TRACED["getppid"], "write": TRACED["write"]}
    assert list(find_costs(BARE, GATED, TWICE, traced, "", is_split=True)) == ["system call"]


def test_traced_calls_that_are_shorter_than_bare_ones_say_nothing() -> None:
    with pytest.raises(TooBusyError):
        find_costs(TRACED, GATED, TWICE, BARE, "", is_split=True)


def test_costs_with_a_wide_margin_are_not_kept() -> None:
    assert are_exact({"a": CallCost(100, 50)})
    assert not are_exact({"a": CallCost(100, 50), "b": CallCost(100, 51)})


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A request with a state directory of its own; nothing may be begun."""
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a process was begun"))
    return lambda chosen: SimpleNamespace(
        paths=SimpleNamespace(state=tmp_path),
        configuration=SystemConfiguration(trace_log_dir=tmp_path),
        attach_method=AttachMethod.AUTO,
        chosen=chosen,
    )


def test_nothing_is_begun_inside_a_group_that_is_traced(
    request_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "group"
    group.mkdir()
    groups = tmp_path / "groups"
    groups.write_text("3:cpu:/\n0::/group/below\n")
    monkeypatch.setattr(calibration, "GROUP_MOUNTS", (tmp_path,))
    monkeypatch.setattr(calibration, "OWN_GROUPS", groups)
    found = Calibration(request_of(Chosen(group=group.stat().st_ino)), PLAN)
    assert found.result() == ({}, "the process that would do it is in the control group that is traced")


def test_what_was_kept_is_not_measured_again(request_of: Any) -> None:
    request = request_of(Chosen())
    plan = PLAN
    calibration.CostCache(request.paths.state / "costs", calibration.costs_key(request, plan)).save(
        {"function": CallCost(7, 1)}
    )
    found = Calibration(request, plan)
    found.before_attaching()
    found.begin()
    assert found.result() == ({"function": CallCost(7, 1)}, "")
    found.close()


def test_what_cannot_be_calibrated_begins_nothing(request_of: Any) -> None:
    found = Calibration(request_of(Chosen()), Plan((), ()))
    assert found.result() == ({}, "the plan has neither system calls nor library functions")


def test_a_process_that_ends_delays_no_run(request_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of(Chosen())
    monkeypatch.undo()  # this one begins a process
    monkeypatch.setattr(calibration, "_calibrate", lambda *_: os._exit(0))
    monkeypatch.setattr(calibration, "_PATIENCE_SECONDS", 3600)
    found = Calibration(request, PLAN)
    found.before_attaching()
    found.begin()
    assert found.result() == ({}, "the process that would do it ended")
    found.close()


def test_a_process_that_ends_later_is_not_taken_for_the_end_of_the_run(
    request_of: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    request = request_of(Chosen())
    monkeypatch.undo()  # this one begins a process
    monkeypatch.setattr(calibration, "_PATIENCE_SECONDS", 3600)

    def fail(_request: Any, _plan: Plan, _go: int, answer: int) -> None:
        os.write(answer, b"b")
        raise KeyError("what nothing expects")

    monkeypatch.setattr(calibration, "_calibrate", fail)
    # The process closes all descriptors, that of pytest's own stream, too.
    monkeypatch.setattr(sys, "stderr", os.fdopen(2, "w", buffering=1, closefd=False))
    found = Calibration(request, PLAN)
    found.before_attaching()
    os.waitid(os.P_PID, found._pid, os.WEXITED | os.WNOWAIT)
    assert found.result() == ({}, "the process that would do it ended")
    found.close()
    assert "what nothing expects" in capfd.readouterr().err


def test_another_processor_has_costs_of_its_own(
    request_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = set()
    for model in ("one", "two"):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: {model}\n")
        monkeypatch.setattr(calibration, "CPU_INFO", tmp_path / "cpuinfo")
        keys.add(calibration.costs_key(request_of(Chosen()), PLAN))
    assert len(keys) == 2
