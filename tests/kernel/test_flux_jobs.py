"""Jobs of Flux from prolog to epilog, with real runs, as Flux calls the hooks; of Flux itself there is a stand-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.identity import flux_job_id
from datacrumbs.install.units import unit_text
from datacrumbs.system import SystemPaths
from datacrumbs.testing import read_lines

from .test_groups import MOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datacrumbs.testing import Installation, TraceLines

pytestmark = pytest.mark.kernel

FLUX_USER = 64998  # no account has it
RANK = 3
LETTER = "\N{LATIN SMALL LETTER F WITH HOOK}"
SECONDS = 300
KEPT = ("recorded", "unmatched", "in_flight", "filtered", "counted")
STAND_IN = """#!/bin/sh
case $1.$2 in
job.info) cat {directory}/jobspec ;;
job.raise) shift 2; printf '%s\\n' "$*" >>{directory}/raised ;;
getattr.rank) echo {rank} ;;
esac
"""
SHELL = """
local env = { FLUX_JOB_ID = arg[2], LD_PRELOAD = arg[3] }
shell = {
    getenv = function (name) return env[name] end,
    setenv = function (name, value, overwrite)
        if overwrite ~= false or not env[name] then env[name] = value end
    end,
}
plugin = { register = function (spec) for _, handler in ipairs (spec.handlers) do handler.fn (handler.topic) end end }
dofile (arg[1])
for name, value in pairs (env) do io.write (name, "=", value, "\\n") end
"""


class Node:
    """A node of a Flux cluster, as far as its hooks see it."""

    def __init__(self, installation: Installation, directory: Path) -> None:
        self.paths = SystemPaths(installation.prefix)
        self.directory = directory
        self._file("flux", STAND_IN.format(directory=directory, rank=RANK))
        for name in ("flux_prolog", "flux_epilog"):
            text = unit_text(name, self.paths).replace("PATH=/usr/sbin", f"PATH={directory}:/usr/sbin", 1)
            self._file(name, text)
        (directory / "shell.lua").write_text(unit_text("flux_shell.lua", self.paths))
        (directory / "driver.lua").write_text(SHELL)

    def _file(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)
        (self.directory / name).chmod(0o755)

    def prolog(self, job: str, metadata: object) -> str:
        """Run it for a job with this metadata; gives what the job's user is told."""
        raised = self.directory / "raised"
        raised.unlink(missing_ok=True)
        (self.directory / "jobspec").write_text(json.dumps({"attributes": {"system": {"datacrumbs": metadata}}}))
        self._hook("flux_prolog", job)
        return raised.read_text() if raised.exists() else ""

    def epilog(self, job: str) -> TraceLines:
        """Run it; gives the job's trace."""
        self._hook("flux_epilog", job)
        (trace,) = self.paths.traces.rglob(f"*-{flux_job_id(job)}-*.pfw.gz")
        return read_lines(trace)

    def _hook(self, name: str, job: str) -> None:
        # As flux-imp leaves it.
        environment = {"FLUX_JOB_ID": job, "FLUX_JOB_USERID": "0", "FLUX_OWNER_USERID": str(FLUX_USER)}
        done = subprocess.run(
            [self.directory / name], env=environment, capture_output=True, timeout=SECONDS, check=False
        )
        assert (done.returncode, done.stdout) == (0, b""), done.stderr

    def environment(self, job: str, preloaded: str = "", inside: Path | None = None) -> dict[str, str]:
        """What Flux's shell gives a job's programs."""
        lua = shutil.which("lua5.4") or shutil.which("lua")
        if lua is None:
            pytest.skip("lua is not installed")
        words = [lua, self.directory / "driver.lua", self.directory / "shell.lua", job, preloaded]
        done = run(words, inside, capture_output=True, text=True)
        return dict(line.split("=", 1) for line in done.stdout.splitlines())


def run(words: list, inside: Path | None = None, **options) -> subprocess.CompletedProcess:
    moved = ["sh", "-c", f'echo $$ > {inside}/cgroup.procs; exec "$@"', "sh"] if inside else []
    return subprocess.run([*moved, *words], check=True, timeout=SECONDS, **options)


def dd(path: Path, writes: int) -> list[str]:
    return ["dd", "if=/dev/zero", f"of={path}", "bs=1", f"count={writes}", "status=none"]


def writes(trace: TraceLines, path: Path) -> int:
    assert trace.footer["entered"] == sum(trace.footer[part] for part in KEPT)
    return sum(trace.file(call) == str(path) for call in trace.named("write"))


@pytest.fixture
def node(installation: Installation, tmp_path: Path) -> Iterator[Node]:
    configuration = SystemPaths(installation.prefix).system_file
    before = configuration.read_text()
    configuration.write_text(f"{before}\nprolog_seconds: {SECONDS}\nepilog_seconds: {SECONDS}\n")
    yield Node(installation, tmp_path)
    configuration.write_text(before)


@pytest.fixture
def slice_of_flux() -> Iterator[Path]:
    """Where the systemd of Flux's user makes units."""
    mount = next((place for place in MOUNTS if (place / "cgroup.controllers").exists()), None)
    if mount is None:
        pytest.skip("no mount of cgroup2")
    levels = [mount / f"datacrumbs-test-{os.getpid()}"]
    levels += [levels[0] / f"user@{FLUX_USER}.service"]
    levels += [levels[1] / "app.slice"]
    for level in levels:
        level.mkdir()
        if level != levels[0]:
            os.chown(level, FLUX_USER, FLUX_USER)
    yield levels[-1]
    for level in reversed(levels):
        level.rmdir()


def test_a_job_whose_shell_is_a_unit(node: Node, probes: Path, slice_of_flux: Path, tmp_path: Path) -> None:
    """As with sdexec: what is in the group is traced without a mark, and a mark from elsewhere is not taken."""
    asked = {"enable": "yes", "probe_file": str(probes)}
    assert node.prolog(f"{LETTER}2oXdF3", asked) == ""
    groups = [slice_of_flux / f"imp-shell-{RANK}-{job}.service" for job in ("f2oXdF3", "f2oXdF4")]
    as_flux = ["setpriv", f"--reuid={FLUX_USER}", f"--regid={FLUX_USER}", "--clear-groups"]
    for group in groups:
        run([*as_flux, "mkdir", group])
    assert "LD_PRELOAD" not in {key for key, value in node.environment("f2oXdF3", inside=groups[0]).items() if value}
    for group, count in zip(groups, (101, 103), strict=True):
        run(dd(tmp_path / group.name, count), group)
    marked = os.environ | node.environment(f"{LETTER}2oXdF3")
    run(dd(tmp_path / "outside", 107), env=marked)
    for group in groups:
        group.rmdir()
    trace = node.epilog(f"{LETTER}2oXdF3")
    found = [writes(trace, tmp_path / name) for name in (groups[0].name, groups[1].name, "outside")]
    assert found == [101, 0, 0]


def test_a_job_without_a_group_of_its_own(node: Node, probes: Path, tmp_path: Path) -> None:
    assert node.prolog(f"{LETTER}2oXdF5", {"enable": "yes", "probe_file": str(probes)}) == ""
    environment = node.environment(f"{LETTER}2oXdF5", preloaded="/lib/none.so")
    assert environment["LD_PRELOAD"].endswith("libdatacrumbs_client.so:/lib/none.so")
    assert environment["DATACRUMBS_RUN_ID"] == "f2oXdF5"
    run(dd(tmp_path / "marked", 109), env=os.environ | node.environment(f"{LETTER}2oXdF5"))
    run(dd(tmp_path / "of another job", 113), env=os.environ | node.environment(f"{LETTER}2oXdF6"))
    trace = node.epilog("0x46817b70")  # the same id
    assert [writes(trace, tmp_path / name) for name in ("marked", "of another job")] == [109, 0]


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"enable": "yes"}, "datacrumbs.probe_file: missing"),
        ({"composite": "x"}, "datacrumbs.composite: no longer supported"),
        ({"enable": "yes", "probe_file": "/absent/probes.json.gz"}, "/absent/probes.json.gz"),
    ],
)
def test_a_job_that_is_not_traced_says_why(node: Node, metadata: object, reason: str) -> None:
    told = node.prolog("f2oXdF7", metadata)
    assert told.startswith(f"--severity=7 --type=datacrumbs f2oXdF7 {os.uname().nodename}: ")
    assert reason in told
    node._hook("flux_epilog", "f2oXdF7")
    assert not list(node.paths.jobs.iterdir())
