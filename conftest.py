"""Where CI=true a skipped test is a failure: the beds are known to work there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

STRICT = os.environ.get("CI") == "true"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure, unless the test says that no bed has what it needs, or is expected to fail."""
    report = yield
    expected = hasattr(report, "wasxfail") or item.get_closest_marker("absent_bed")
    if STRICT and report.skipped and not expected:
        report.outcome = "failed"
        report.longrepr = f"skipped, where CI=true allows no skip: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failure likewise."""
    report = yield
    if STRICT and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped, where CI=true allows no skip: {_reason(report.longrepr)}"
    return report


# A skip's representation is (file, line, reason).
def _reason(representation: object) -> str:
    return str(representation[-1]) if isinstance(representation, tuple) else str(representation)
