"""Where CI=true a skipped test is a failure: the beds are known to work there."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parent
STRICT = os.environ.get("CI") == "true"


# A shell without job control has what it starts behind itself ignore the keyboard's signals, of which tests have their
# programs die.
for number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


def pytest_report_header() -> list[str]:
    """Say first what would look like many failures: other users run this checkout's commands."""
    closed = [place for place in (ROOT, *ROOT.parents) if not place.stat().st_mode & stat.S_IXOTH]
    if os.geteuid() or not closed:
        return []
    return [f"{closed[0]} is closed to other users: tests that become one will fail; clone to a place such as /srv"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure, unless the test is expected to fail."""
    report = yield
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
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
