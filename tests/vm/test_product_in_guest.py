"""The product from the site file to the trace on another architecture: a tracked program, each call accounted for."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.testing import run_workload

from ..kernel.conftest import COMMANDS  # noqa: TID252

if TYPE_CHECKING:
    from datacrumbs.testing import Installation, TraceLines

pytestmark = pytest.mark.guest("6.1-arm64")

PROVIDERS = Path(__file__).parents[2] / "providers"
TABLE = PROVIDERS / "posix/workload/workload.json"
SITE = "capture_probes:\n  - provider: posix\n    preset: all\n"


def test_the_workload_of_a_provider_when_it_is_tracked(installation: Installation, tmp_path: Path) -> None:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    program = tmp_path / "workload"
    build = [part.replace("{out}", str(program)) for part in table["build"]]
    subprocess.run(build, check=True, cwd=TABLE.parent)
    subprocess.run([COMMANDS / "datacrumbs_track", "--executable", program], check=True)
    with installation.daemon(installation.probes(SITE)) as daemon:
        subprocess.run([program, "."], check=True, cwd=tmp_path)
        trace = daemon.lines()
    check(trace, table)


def test_the_workload_of_hdf5(installation: Installation, tmp_path: Path) -> None:
    site = "capture_probes:\n  - provider: hdf5\n    preset: all\n"
    check(*run_workload(installation, tmp_path, site, PROVIDERS / "hdf5/workload/workload.json"))


# Counts, errors and bytes of each function are those of the table, and every call is accounted for.
def check(trace: TraceLines, table: dict[str, Any]) -> None:
    tally, errors, moved = trace.tally(), Counter(), Counter()
    for call in trace.calls:
        errors[call["name"]] += "errno" in call["args"]
        moved[call["name"]] += call["args"].get("bytes", 0)
    seen = {name: (tally[name], errors[name], moved[name]) for name in table["counts"]}
    assert seen == {name: (row["count"], row["errors"], row["bytes"]) for name, row in table["counts"].items()}
    footer = trace.footer
    assert footer["entered"] == footer["recorded"] + footer["filtered"] + footer["unmatched"] + footer["in_flight"]
    assert footer["recorded"] == len(trace.calls)
