"""When the ring is full, calls are lost, and the arithmetic still closes exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from datacrumbs.model.plan import Plan

from .conftest import Tracer, system_call_group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel

_CALLS = 50021


@pytest.fixture(scope="module")
def narrow(engine_state: Path, configuration: SystemConfiguration) -> Iterator[Tracer]:
    """An engine whose ring holds about 10,000 calls."""
    plan = Plan((), (system_call_group(("read", "write")),))
    with Tracer(plan, engine_state, replace(configuration, call_ring_mib=1)) as tracer:
        yield tracer


def test_ring_overflow_is_counted_exactly(narrow: Tracer) -> None:
    trace = narrow.run("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={_CALLS}", "status=none")
    reads, writes = narrow.engine.counts()
    assert writes.entered == _CALLS
    assert trace.count("write") == writes.recorded
    assert trace.count("read") == reads.recorded
    assert writes.lost == {"ring_full": _CALLS - writes.recorded}
    assert writes.recorded < _CALLS
    assert reads.balanced
    assert writes.balanced
    assert (1 << 20) // 104 - 1 <= len(trace.calls) + len(trace.events) <= (1 << 20) // 104


def test_capture_goes_on_after_an_overflow(narrow: Tracer) -> None:
    before = narrow.engine.counts()[1]
    trace = narrow.run("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1009", "status=none")
    after = narrow.engine.counts()[1]
    assert trace.count("write") == 1009
    assert after.lost == before.lost
