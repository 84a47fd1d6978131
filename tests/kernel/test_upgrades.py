"""Libraries that are replaced: between composing and start, and during a run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .conftest import COMMANDS
from .test_bad_input import REFUSED

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel

OLD, NEW = (
    "long up_add(long a) { return a + 1; }\n",
    "long up_new(void) { return 5; }\nlong up_add(long a) { return a + 2; }\n",
)
# Calls, waits for a line, calls again.
PROGRAM = """
import ctypes, sys
add = ctypes.CDLL(sys.argv[1]).up_add
first = sum(add(0) for _ in range(23))
print(first, flush=True)
sys.stdin.readline()
print(sum(add(0) for _ in range(29)), flush=True)
"""


def library(directory: Path, text: str, name: str) -> Path:
    source, made = directory / f"{name}.c", directory / name
    source.write_text(text)
    flags = ["-O1", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-Wl,--build-id"]
    subprocess.run(["cc", *flags, source, "-o", made], check=True)
    return made


def probes_of(installation: Installation, path: Path) -> Path:
    entry = f'{{name: up, probe: uprobe, type: binary, file: "{path}", regex: "up_add"}}'
    return installation.probes(f"capture_probes:\n  - {entry}\n")


def test_a_library_that_changed_since_it_was_composed_is_refused(installation: Installation, tmp_path: Path) -> None:
    path = library(tmp_path, OLD, "libup.so")
    probes = probes_of(installation, path)
    library(tmp_path, NEW, "libnew.so").replace(path)
    done = installation.command("datacrumbs", probes, "moved")
    assert done.returncode == REFUSED
    assert f"target {path}: the build-id changed" in done.stderr
    assert "recreate the probe file" in done.stderr
    path.unlink()
    done = installation.command("datacrumbs", probes, "gone")
    assert done.returncode == REFUSED
    assert str(path) in done.stderr
    assert "hint: " in done.stderr


def test_an_upgrade_during_a_run(installation: Installation, tmp_path: Path) -> None:
    """Who has the old file goes on being traced, whole; who starts with the new one runs untraced and unharmed."""
    path = library(tmp_path, OLD, "libup.so")
    with installation.daemon(probes_of(installation, path)) as daemon:
        wrap = [COMMANDS / "datacrumbs_wrap", sys.executable, "-c", PROGRAM, path]
        running = subprocess.Popen(wrap, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert running.stdout
        assert running.stdout.readline() == "23\n"
        library(tmp_path, NEW, "libnew.so").replace(path)
        done = daemon.wrap(sys.executable, "-c", PROGRAM, path, input="\n", capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "46\n58\n")
        assert running.communicate("\n")[0] == "29\n"
        assert running.returncode == 0
        trace = daemon.lines()
    assert len(trace.named("up_add")) == 23 + 29
    assert trace.counts["up_add"]["entered"] == 23 + 29
