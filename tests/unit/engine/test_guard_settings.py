"""The guard's numbers follow from the system configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from datacrumbs.engine.counting import GUARD_INTERVAL_NS, guard_settings
from datacrumbs.model.record import CALL
from datacrumbs.system import SystemConfiguration

MIB = 1 << 20


def settings(processors: int = 2, **changes: int) -> dict[str, int]:
    configuration = SystemConfiguration(Path("/traces"), **changes)
    names = ("share", "function", "total", "high", "low")
    return dict(zip(names, guard_settings(configuration, processors), strict=True))


def test_only_the_ring_decides_by_default() -> None:
    found = settings()
    assert found["high"] == 64 * MIB * 9 // 10
    assert found["low"] == 32 * MIB
    # Nothing makes so many calls in an interval.
    assert found["function"] > 2 * GUARD_INTERVAL_NS / 1000
    assert found["total"] > found["function"]


@pytest.mark.parametrize("processors", [1, 2, 128, 1024])
@pytest.mark.parametrize("mib", [1, 64, 1024])
def test_shares_of_all_processors_are_a_small_part_of_the_ring(processors: int, mib: int) -> None:
    share = settings(processors, call_ring_mib=mib)["share"]
    assert share == 1 or share * processors * CALL.itemsize <= mib * MIB / 64


def test_shares_are_a_small_part_of_a_rate() -> None:
    found = settings(guard_function_rate=1000)
    assert found["function"] == 134
    assert found["share"] == 8
    assert settings(guard_function_rate=1)["share"] == 1


def test_full_ring_is_allowed() -> None:
    assert settings(guard_ring_percent=100, call_ring_mib=1)["high"] == MIB
