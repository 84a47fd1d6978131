"""A run on a node that hides some names: no byte that it leaves has one of them."""

from __future__ import annotations

import gzip
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from .conftest import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel

WORDS = ("moonshot", "budget", "rocketeer")
# Absolute, relative to a working directory, to a descriptor, by `..`, renamed, failed, listed, and as a program.
PROGRAM = """
import os, subprocess, sys
place = sys.argv[1]
with open(f"{place}/moonshot/budget.txt", "w") as file:
    file.write("x" * 23)
os.chdir(f"{place}/moonshot")
os.rename("budget.txt", "budget2.txt")
directory = os.open(f"{place}/open/../moonshot", os.O_RDONLY)
descriptor = os.open("budget2.txt", os.O_RDONLY, dir_fd=directory)
os.read(descriptor, 29)
os.listdir(directory)
try:
    os.stat(f"{place}/moonshot/no-budget")
except FileNotFoundError:
    pass
subprocess.run([f"{place}/moonshot/rocketeer", "/etc/hostname"], check=True, stdout=subprocess.DEVNULL)
with open(f"{place}/open/plain.txt", "w") as file:
    file.write("y" * 31)
os.chdir(f"{place}/moonshot")
for name in ["budget"] * 70:  # deeper than the kernel side follows
    os.mkdir(name)
    os.chdir(name)
with open("budget.txt", "w") as file:
    file.write("z" * 37)
os.remove("budget.txt")
"""


def test_no_hidden_name_leaves_a_run(place: Installation, probes: Path, tmp_path: Path) -> None:
    (tmp_path / "moonshot").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "moonshot/rocketeer").symlink_to("/bin/cat")
    configuration = f"redact_paths: ['{tmp_path}/moon*']\nrotate_megabytes: 100\n"
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text(configuration)
    script = tmp_path / "open/program.py"
    script.write_text(PROGRAM)
    with place.daemon(probes) as daemon:
        done = daemon.wrap("/usr/bin/python3", script, tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        trace = daemon.lines()
    text = gzip.decompress(daemon.trace.read_bytes()) + daemon.log.read_bytes()
    for path in (*(place.prefix / "run").rglob("*"), *(place.prefix / "var").rglob("*")):
        text += os.fsencode(path) + (path.read_bytes() if path.is_file() else b"")
    assert [word for word in WORDS if word.encode() in text] == []
    assert trace.footer["entered"] == sum(
        trace.footer[part] for part in ("recorded", "filtered", "unmatched", "in_flight")
    )
    (written,) = [call for call in trace.named("write") if call["args"]["ret"] == 23]
    hidden = trace.file(written)
    assert hidden.startswith(f"{tmp_path}/~")
    assert [call["args"]["ret"] for call in trace.named("read") if trace.file(call) != hidden].count(23) == 1  # renamed
    (deep,) = [call for call in trace.named("write") if call["args"]["ret"] == 37]
    assert trace.file(deep).startswith(".../~")
    (plain,) = [call for call in trace.named("write") if call["args"]["ret"] == 31]
    assert trace.file(plain) == f"{tmp_path}/open/plain.txt"
    report = subprocess.run([COMMANDS / "datacrumbs_report", daemon.trace], capture_output=True, text=True, check=True)
    assert "some paths are hidden" in report.stdout
    assert "complete" in report.stdout
