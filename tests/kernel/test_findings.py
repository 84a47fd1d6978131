"""Each fault is found in the program that has it, and in no twin that does the same work without it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel

SITE = """
capture_probes:
  - provider: sys
  - provider: posix
    preset: stdio
"""
FAULTS = (
    *("small-writes", "small-reads", "random-reads", "random-writes", "metadata-storm", "reopened-files"),
    *("sync-per-write", "redundant-reads", "wasted-seeks", "repeated-failures", "stdio-buffer"),
)


@pytest.fixture(scope="module")
def report(
    installation: Installation, build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The report of one run of all programs, each with a name of its own."""
    place = tmp_path_factory.mktemp("faults")
    (place / "data").write_bytes(bytes(23 << 20))
    links = tmp_path_factory.mktemp("links")
    program = build("faults.c")
    with installation.daemon(installation.probes(SITE)) as daemon:
        for fault in FAULTS:
            for name, words in ((fault[:15], ()), (f"ok-{fault}"[:15], ("clean",))):
                link = links / name
                link.symlink_to(program)
                assert daemon.wrap(link, fault, place, *words).returncode == 0
    command = [COMMANDS / "datacrumbs_report", daemon.trace, "--json"]
    document: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document


def test_the_trace_is_judged(report: dict[str, Any]) -> None:
    assert report["traces"][0]["complete"]
    assert set(FAULTS) <= set(report["judged"])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_in_its_program(report: dict[str, Any], fault: str) -> None:
    (finding,) = (each for each in report["findings"] if each["rule"] == fault)
    places = {place["process"]: place for place in finding["places"]}
    assert fault[:15] in places
    assert places[fault[:15]]["share"] >= 0.05


def test_no_twin_has_a_finding(report: dict[str, Any]) -> None:
    places = [(each["rule"], place["process"]) for each in report["findings"] for place in each["places"]]
    assert [each for each in places if each[1].startswith("ok-")] == []
