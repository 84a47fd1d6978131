"""What calls cost, measured beside a run that must not notice: real programs, on this kernel."""

from __future__ import annotations

import os
import shutil
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.daemon import calibration
from datacrumbs.daemon.calibration import Calibration
from datacrumbs.daemon.chosen_processes import Chosen
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.testing import read_lines

from .workloads import writes

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration
    from datacrumbs.testing import Installation

    from .conftest import Tracer

pytestmark = pytest.mark.kernel

ATTEMPTS, SECONDS = 5, 300
UNFINISHED = ({}, "the run ended before it was measured")
WAYS = {
    "system call",
    "function",
    "function, single-stepped",
    "function without return",
    "function without return, single-stepped",
}


@pytest.fixture
def request_beside(
    engine_state: Path, configuration: SystemConfiguration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(calibration, "_PATIENCE_SECONDS", SECONDS)
    state = tmp_path / "state"
    shutil.copytree(engine_state, state)
    return SimpleNamespace(
        paths=SimpleNamespace(state=state),
        configuration=configuration,
        attach_method=AttachMethod.AUTO,
        chosen=Chosen(),
    )


def test_costs_are_found_beside_a_run_that_counts_the_same(tracer: Tracer, lives: Path, request_beside: Any) -> None:
    """A machine that is too busy gives none; then it is tried again, as the next run would."""
    expected = tracer.run(str(lives), "recursion")
    for _ in range(ATTEMPTS):
        beside = Calibration(request_beside, tracer.plan)
        process = beside._pid
        beside.before_attaching()
        beside.begin()
        deadline = time.monotonic() + SECONDS
        while (found := beside.result()) == UNFINISHED and time.monotonic() < deadline:
            trace = tracer.run(str(lives), "recursion")
            assert trace.counts() == expected.counts()
            assert process not in {*trace.calls["process"].tolist(), *trace.events["process"].tolist()}
        beside.close()
        if found[0]:
            break
    costs, reason = found
    assert reason == ""
    names = WAYS if os.uname().machine == "x86_64" else {way for way in WAYS if "stepped" not in way}
    assert set(costs) == names
    assert all(cost.nanoseconds > 0 and cost.bounds[0] >= 0 for cost in costs.values())
    kept = Calibration(request_beside, tracer.plan)  # those of a busy machine are not kept, and it begins again
    assert kept.result() in ((costs, ""), UNFINISHED)
    kept.close()


@pytest.mark.parametrize(("mode", "end"), [("trace", ""), ("profile", ", added up")])
def test_a_trace_says_how_many_calls_of_which_cost_there_were(
    installation: Installation, probes: Path, mode: str, end: str
) -> None:
    with installation.daemon(probes, arguments=["--mode", mode]) as daemon:
        assert daemon.wrap(*writes(1009)).returncode == 0
        assert daemon.stop() == 0
    trace = read_lines(daemon.trace)
    assert trace.provenance[f"calls system call{end}"] == str(trace.footer["entered"])
    assert (f"cost system call{end}" in trace.provenance) != ("cost" in trace.provenance)
