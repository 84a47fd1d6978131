"""Profiles on the guest's kernel: adding up, and reading without a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.engine.function_table import describe
from datacrumbs.model.plan import Mode, with_mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..kernel.conftest import Tracer  # noqa: TID252 - the engine of the kernel tests

pytestmark = pytest.mark.guest("6.1-amd64", "6.12-amd64", "6.1-arm64")

CALLS = 1009


@pytest.fixture
def profiling(tracer: Tracer) -> Iterator[Tracer]:
    """The guest's engine with every function profiled, as if its plan said so."""
    table = tracer.engine.maps["dc_functions"]
    tracer.drain()
    table.fill(describe(with_mode(tracer.plan, Mode.PROFILE)))
    yield tracer
    table.fill(describe(tracer.plan))
    tracer.engine.profiles()


def test_profiles_have_every_call(profiling: Tracer) -> None:
    (write,) = (index for index, each in enumerate(profiling.plan.functions) if each.symbol == "write")
    before = profiling.engine.counts()
    taken = []
    for _ in range(2):
        trace = profiling.run("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=3", f"count={CALLS}", "status=none")
        assert not len(trace.calls)
        taken.append(profiling.engine.profiles())
    for profiles in taken:
        own = profiles[profiles["function"] == write]
        assert (own["count"].sum(), own["bytes"].sum(), own["errors"].sum()) == (CALLS, 3 * CALLS, 0)
        assert own["sizes"][:, 2].sum() == CALLS
    after = profiling.engine.counts()
    every = np.concatenate(taken)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        assert new.counted - old.counted == every["count"][every["function"] == index].sum()
        assert new.recorded == old.recorded
