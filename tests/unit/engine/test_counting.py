"""The guard's numbers follow from the system configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from datacrumbs.engine.counting import GUARD_INTERVAL_NS, guard_settings
from datacrumbs.model.contract import Setting
from datacrumbs.model.layouts import RECORD
from datacrumbs.system import SystemConfiguration

MIB = 1 << 20


def settings(processors: int = 2, **changes: int) -> dict[Setting, int]:
    configuration = SystemConfiguration(Path("/traces"), **changes)
    return guard_settings(configuration, processors)


def test_only_the_ring_decides_by_default() -> None:
    found = settings()
    assert found[Setting.GUARD_RING_HIGH] == 64 * MIB * 9 // 10
    assert found[Setting.GUARD_RING_LOW] == 32 * MIB
    # Nothing makes so many calls in an interval.
    assert found[Setting.GUARD_FUNCTION] > 2 * GUARD_INTERVAL_NS / 1000
    assert found[Setting.GUARD_TOTAL] > found[Setting.GUARD_FUNCTION]


@pytest.mark.parametrize("processors", [1, 2, 128, 1024])
@pytest.mark.parametrize("mib", [1, 64, 1024])
def test_shares_of_all_processors_are_a_small_part_of_the_ring(processors: int, mib: int) -> None:
    share = settings(processors, call_ring_mib=mib)[Setting.GUARD_SHARE]
    assert share == 1 or share * processors * RECORD.itemsize <= mib * MIB / 64


def test_shares_are_a_small_part_of_a_rate() -> None:
    found = settings(guard_function_rate=1000)
    assert found[Setting.GUARD_FUNCTION] == 134
    assert found[Setting.GUARD_SHARE] == 8
    assert settings(guard_function_rate=1)[Setting.GUARD_SHARE] == 1


def test_full_ring_is_allowed() -> None:
    assert settings(guard_ring_percent=100, call_ring_mib=1)[Setting.GUARD_RING_HIGH] == MIB
