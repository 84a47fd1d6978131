"""When a run ends by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.daemon.run_request import RunRequest
from datacrumbs.model.plan import Plan
from datacrumbs.probefile.envelope import Grant, SignedPlan
from datacrumbs.probefile.targets import OpenTargets
from datacrumbs.system import SystemConfiguration, SystemPaths

NOW = 1_000_000


@pytest.mark.parametrize(
    ("duration", "granted", "end"),
    [
        (0, 3600, (3600, "grant")),
        (60, 3600, (60, "duration")),
        (3600, 60, (60, "grant")),
        (60, 60, (60, "duration")),
        (0, -1, (-1, "grant")),
    ],
)
def test_by_its_duration_or_with_its_grant(duration: float, granted: int, end: tuple[float, str]) -> None:
    plan = Plan((), (), ())
    signed = SignedPlan(plan, Grant(0, "root", "here", NOW - 10, NOW + granted), "", "")
    configuration = replace(SystemConfiguration(Path("/traces")), duration_seconds=duration)
    request = RunRequest(Path("x"), signed, OpenTargets(plan, 0), "run", SystemPaths(), configuration)
    assert request.end(NOW) == end
