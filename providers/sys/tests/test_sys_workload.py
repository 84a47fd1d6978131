"""The workload makes exactly the calls that its table declares, by strace's count."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from datacrumbs_sys.calls import curated_calls

WORKLOAD = Path(__file__).parents[1] / "workload"
LINE = re.compile(r"(?P<name>\w+)\(.*\)\s+= (?P<result>-?\w+|\?)(?:\s+(?P<errno>E\w+))?")


@pytest.fixture(scope="module")
def table():
    return json.loads((WORKLOAD / "workload.json").read_text())


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sys_workload")
    program, room = directory / "workload", directory / "room"
    room.mkdir()
    source = str(WORKLOAD / "workload.c")
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(program), source], check=True)
    done = subprocess.run(
        ["strace", "-ff", "-o", str(directory / "calls"), str(program), str(room)],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = (directory / f"calls.{done.stdout.strip()}").read_text().splitlines()
    return [match for match in map(LINE.match, lines) if match]


def expected_counts(table, machine_has_legacy):
    counts, failed = Counter(), Counter()
    for part in ("calls", "legacy") if machine_has_legacy else ("calls",):
        for name, entry in table[part].items():
            counts[name] += entry["count"]
            failed.update({(name, code): times for code, times in entry.get("failed", {}).items()})
    return counts, failed


def test_counts_and_failures_are_exact(table, observed):
    legacy = any(match["name"] == "open" for match in observed)
    counts, failed = expected_counts(table, legacy)
    assert Counter(match["name"] for match in observed) == counts
    assert Counter((match["name"], match["errno"]) for match in observed if match["errno"]) == failed


def test_bytes_are_exact(table, observed):
    moved = Counter()
    for match in observed:
        if "bytes" in table["calls"].get(match["name"], {}) and not match["errno"]:
            moved[match["name"]] += int(match["result"])
    assert moved == {name: entry["bytes"] for name, entry in table["calls"].items() if "bytes" in entry}


def test_the_provider_knows_every_call_of_it(table):
    assert set(table["calls"]) | set(table["legacy"]) <= set(curated_calls())
