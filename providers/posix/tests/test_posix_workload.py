"""The workload says itself what it calls: the tables say the same, for both C libraries."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from datacrumbs_posix.functions import TABLE

WORKLOAD = Path(__file__).parents[1] / "workload"


@pytest.fixture(scope="module", params=["workload.json", "workload-musl.json"])
def witnessed(request, tmp_path_factory):
    table = json.loads((WORKLOAD / request.param).read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("workload")
    (folder / "room").mkdir()
    build = [part.replace("{out}", str(folder / "workload")) for part in table["build"]]
    subprocess.run(build, check=True, cwd=WORKLOAD)
    done = subprocess.run(
        [folder / "workload", folder / "room", "report"], check=True, capture_output=True, text=True, timeout=300
    )
    return table, json.loads(done.stderr)


def test_the_tables_are_what_the_program_does(witnessed):
    table, reported = witnessed
    assert table["counts"] | table["shared"] == reported


def test_counts_are_prime(witnessed):
    for name, row in witnessed[1].items():
        count = row["count"]
        assert count > 1, name
        assert all(count % divisor for divisor in range(2, count)), name


def test_every_function_is_called(witnessed):
    table, reported = witnessed
    missing = {signature.name for signature in TABLE} - set(reported)
    assert set(reported) <= {signature.name for signature in TABLE}
    only_glibc = {"close_range", "closefrom", "preadv2", "pwritev2", "renameat2", "statx"}
    assert missing == (only_glibc if "musl" in table["inside"] else set())


def test_what_the_library_adds_is_not_among_the_exact_ones(witnessed):
    table, _ = witnessed
    for inside in table["inside"].values():
        assert not set(inside) & set(table["counts"])
        assert set(inside) <= set(table["shared"])
