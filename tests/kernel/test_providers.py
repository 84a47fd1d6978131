"""Each bundled provider's workload under a real daemon: the counts are the known ones, exactly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.testing import Installation, run_workload

if TYPE_CHECKING:
    from datacrumbs.testing import TraceLines

pytestmark = pytest.mark.kernel

PROVIDERS = Path(__file__).parents[2] / "providers"
WORKLOADS = {
    "posix": ("posix", "workload.json"),
    "mpi-openmpi": ("mpi", "workload.json"),
    "mpi-mpich": ("mpi", "workload-mpich.json"),
    "hdf5": ("hdf5", "workload.json"),
}


@pytest.fixture(scope="module", params=WORKLOADS)
def traced(
    request: pytest.FixtureRequest, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TraceLines, dict[str, Any]]:
    provider, table = WORKLOADS[request.param]
    site = f"capture_probes:\n  - provider: {provider}\n    preset: all\n"
    return run_workload(
        installation, tmp_path_factory.mktemp(provider), site, PROVIDERS / provider / "workload" / table
    )


def test_counts(traced: tuple[TraceLines, dict[str, Any]]) -> None:
    trace, wanted = traced
    tally = trace.tally()
    assert {name: tally[name] for name in wanted["counts"]} == {
        name: row["count"] for name, row in wanted["counts"].items()
    }


def test_conservation(traced: tuple[TraceLines, dict[str, Any]]) -> None:
    trace, _ = traced
    footer = trace.footer
    assert footer["entered"] == footer["recorded"] + footer["filtered"] + footer["unmatched"] + footer["in_flight"]
    assert footer["recorded"] == len(trace.calls)


def test_errors_and_bytes(traced: tuple[TraceLines, dict[str, Any]]) -> None:
    """A failed call has its errno, 0 where the layer has none of its own; bytes are those moved."""
    trace, wanted = traced
    errors, moved = Counter(), Counter()
    for call in trace.calls:
        errors[call["name"]] += "errno" in call["args"]
        moved[call["name"]] += call["args"].get("bytes", 0)
    for name, row in wanted["counts"].items():
        assert (name, errors[name], moved[name]) == (name, row.get("errors", 0), row.get("bytes", 0))
