"""A report of a real run counts each call and byte once, whatever was probed of what they passed through."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.testing import Installation, RunningDaemon

pytestmark = pytest.mark.kernel

SITE = """
capture_probes:
  - provider: posix
    preset: all
  - provider: sys
"""
STREAM, DESCRIPTOR = 1009 * 4096, 10007 * 7


def rows(daemon: RunningDaemon, view: str, key: str) -> dict[str, Any]:
    command = [COMMANDS / "datacrumbs_report", daemon.trace, "--by", view, "--json"]
    document = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert document["traces"][0]["complete"]
    table = document["processes" if view == "process" else f"{view}s"]
    return {row[key]: row for row in table}


@pytest.mark.parametrize("mode", ["trace", "profile"])
def test_each_byte_once(installation: Installation, build: Callable[..., Path], tmp_path: Path, mode: str) -> None:
    program = build("once.c")
    with installation.daemon(installation.probes(SITE), arguments=["--mode", mode]) as daemon:
        assert daemon.wrap(program, tmp_path).returncode == 0
    files = {name.removeprefix(f"{tmp_path}/"): row for name, row in rows(daemon, "file", "path").items()}
    assert files["stream"]["bytes"] == STREAM
    assert files["stream"]["layers"] == ["STDIO"]
    assert files["descriptor"]["bytes"] == DESCRIPTOR
    (process,) = (row for row in rows(daemon, "process", "process").values() if row["process"] == "once")
    assert STREAM + DESCRIPTOR <= process["bytes"] < STREAM + DESCRIPTOR + 100_000  # what the loader reads
    layers = rows(daemon, "layer", "layer")
    assert layers["STDIO"]["bytes"] >= STREAM
    assert layers["POSIX"]["bytes"] >= STREAM + DESCRIPTOR
    assert layers["system calls"]["bytes"] >= STREAM + DESCRIPTOR


def test_a_function_of_libc_inside_another(
    installation: Installation, build: Callable[..., Path], tmp_path: Path
) -> None:
    site = "capture_probes:\n  - provider: posix\n    preset: all\n"
    with installation.daemon(installation.probes(site)) as daemon:
        assert daemon.wrap(build("once.c"), tmp_path).returncode == 0
    (layer,) = (row for row in rows(daemon, "layer", "layer").values() if row["layer"] == "POSIX")
    functions = {name: row for name, row in rows(daemon, "function", "name").items() if row["layer"] == "POSIX"}
    stats = sum(row["count"] for name, row in functions.items() if "stat" in name)
    assert 2003 <= stats < 2003 + 23  # those of the loader and of opening streams
    assert layer["count"] == sum(row["count"] for row in functions.values())
    assert layer["bytes"] == sum(row["bytes"] or 0 for row in functions.values())
