"""How deep a call is: the number of calls of its thread that are open around it and have records of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.model.plan import Mode, Plan
from datacrumbs.model.record import CallFlag

from .conftest import Trace, Tracer, layer_group, system_call_group

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel


def innermost(calls: np.ndarray) -> list[int]:
    """Of each call the row of the smallest interval of its thread that it lies in, by nanoseconds; -1 for none."""
    found = [-1] * len(calls)
    ends = calls["start"] + calls["duration"]
    order = np.lexsort((-ends.astype(np.int64), calls["start"], calls["thread"])).tolist()
    around: list[int] = []
    for row in order:
        while around and (calls["thread"][around[-1]] != calls["thread"][row] or ends[around[-1]] < ends[row]):
            around.pop()
        found[row] = around[-1] if around else -1
        around.append(row)
    return found


def assert_depths_are_those_of_intervals(calls: np.ndarray) -> None:
    parents = innermost(calls)
    depths = calls["depth"].tolist()
    assert depths == [depths[parent] + 1 if parent >= 0 else 0 for parent in parents]


def depths(trace: Trace, name: str) -> list[int]:
    return trace.named(name)["depth"].tolist()


def test_recursion_and_nesting(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "recursion")
    assert Counter(depths(trace, "layer_recurse")) == Counter([*range(32), *[*range(17)] * 3])
    assert depths(trace, "layer_nested") == [0] * 5
    assert depths(trace, "layer_add") == [1] * 10
    assert_depths_are_those_of_intervals(trace.calls)


def test_a_system_call_is_inside_the_function_that_makes_it(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "failing")
    assert depths(trace, "layer_fail") == [0] * 8
    reads = trace.named("read")
    assert reads["depth"][reads["errno"] != 0].tolist() == [1] * 8
    assert_depths_are_those_of_intervals(trace.calls)


def test_callbacks(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "callbacks")
    assert (depths(trace, "layer_call"), depths(trace, "layer_add")) == ([0] * 5, [1] * 5)


def test_of_calls_that_are_left_one_at_most_seems_to_be_around_the_next(tracer, lives: Path) -> None:
    trace = tracer.run(str(lives), "leaps")
    # At the place on the stack of the seventh call of layer_leap, which might have jumped to layer_add as its last act.
    assert depths(trace, "layer_add") == [1] * 5


def test_threads_and_children_begin_outside(tracer, lives: Path) -> None:
    for mode in ("threads", "forks", "vforks", "spawns"):
        assert set(depths(tracer.run(str(lives), mode), "getppid")) == {0}


def test_a_call_knows_whether_one_of_its_layer_is_around_it(tracer, lives: Path) -> None:
    for mode in ("recursion", "callbacks", "failing"):
        trace = tracer.run(str(lives), mode)
        layers = [trace.plan.functions[function].category for function in trace.calls["function"]]
        parents = innermost(trace.calls)
        around: dict[int, set[str]] = {-1: set()}
        for row in np.argsort(trace.calls["start"]).tolist():
            around[row] = around[parents[row]] | {layers[row]}
        nested = [layers[row] in around[parent] for row, parent in enumerate(parents)]
        assert (trace.calls["flags"] & CallFlag.NESTED != 0).tolist() == nested


def test_calls_without_records_and_other_layers_do_not_count(
    lives: Path, layer: Path, engine_state: Path, configuration: SystemConfiguration
) -> None:
    functions = layer_group(layer)
    other = tuple(replace(each, category="OTHER") for each in functions.functions)
    profiled = [replace(functions, mode=Mode.PROFILE), replace(functions, helper=True)]
    for group, depth in (*((each, 0) for each in profiled), (replace(functions, functions=other), 1)):
        with Tracer(Plan((), (system_call_group(("read", "getppid")), group)), engine_state, configuration) as tracer:
            trace = tracer.run(str(lives), "failing")
        reads = trace.named("read")
        failed = reads[reads["errno"] != 0]
        assert failed["depth"].tolist() == [depth] * 8
        assert not (failed["flags"] & CallFlag.NESTED).any()
