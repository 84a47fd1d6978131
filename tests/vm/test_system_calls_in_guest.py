"""The workload of the provider `sys` on another architecture, beside kernel functions: its counts are exact."""

from __future__ import annotations

import pytest

from ..kernel.test_system_calls import test_workload_of_known_counts, tracer  # noqa: F401, TID252 - for this kernel too

pytestmark = pytest.mark.guest("6.1-arm64")
