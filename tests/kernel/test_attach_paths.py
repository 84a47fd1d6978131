"""Every way to attach to library functions, forced on the host's kernel, sees the same calls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from datacrumbs.engine.methods import TITLES, AttachMethod
from datacrumbs.model.plan import Plan

from .conftest import Tracer, layer_group, system_call_group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel

_METHODS = [method for method in AttachMethod if method is not AttachMethod.AUTO]


@pytest.fixture(scope="module", params=_METHODS)
def forced(
    request: pytest.FixtureRequest, layer: Path, engine_state: Path, configuration: SystemConfiguration
) -> Iterator[Tracer]:
    plan = Plan((), (system_call_group(("read", "getppid")), layer_group(layer)))
    with Tracer(plan, engine_state, configuration, request.param) as tracer:
        assert tracer.report.method == TITLES[request.param]
        yield tracer


def test_everything_is_attached(forced: Tracer) -> None:
    assert forced.report.failures == ()
    assert forced.report.functions == len(forced.plan.functions)


@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        ("recursion", {"layer_recurse": 3 * 17 + 32, "layer_nested": 5, "layer_add": 10}),
        ("callbacks", {"layer_call": 5, "layer_add": 5}),
        ("leaps", {"layer_add": 5}),
        ("failing", {"layer_fail": 8}),
    ],
)
def test_counts(forced: Tracer, lives: Path, mode: str, counts: dict[str, int]) -> None:
    trace = forced.run(str(lives), mode)
    assert trace.status == 0
    assert {name: count for name, count in trace.counts().items() if name.startswith("layer_")} == counts
    assert all(trace.returned(name) == count for name, count in counts.items())


def test_conservation(forced: Tracer) -> None:
    forced.drain()
    counts = forced.engine.counts()
    assert all(count.balanced for count in counts)
    assert [count.recorded for count in counts] == forced.seen.tolist()


@pytest.mark.parametrize("method", _METHODS)
def test_a_function_that_cannot_be_probed_costs_only_itself(
    method: AttachMethod, layer: Path, lives: Path, engine_state: Path, configuration: SystemConfiguration
) -> None:
    group = layer_group(layer)
    middle = len(group.functions) // 2
    outside = replace(group.functions[0], name="outside", symbol="outside", offset=layer.stat().st_size + 4096)
    functions = (*group.functions[:middle], outside, *group.functions[middle:])
    with Tracer(Plan((), (replace(group, functions=functions),)), engine_state, configuration, method) as tracer:
        assert [failure.symbol for failure in tracer.report.failures] == ["outside"]
        assert tracer.report.functions == len(group.functions)
        assert tracer.run(str(lives), "callbacks").counts() == {"layer_call": 5, "layer_add": 5}
