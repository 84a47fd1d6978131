"""The real service of runs on a real installation; what it starts is a program that does as the daemon does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.build_id import file_build_id
from datacrumbs.install.step import performed
from datacrumbs.install.steps import install
from datacrumbs.model.plan import Attach, Function, Group, Mode, Plan, Provenance, Target
from datacrumbs.probefile.codec import encode
from datacrumbs.probefile.envelope import Grant, seal
from datacrumbs.signer.private_key import load_private_key
from datacrumbs.system import SystemPaths

from ...waiting import until  # noqa: TID252 - a helper of all tests

if TYPE_CHECKING:
    from datacrumbs.runs.run_client import RunningRun

SERVICE = """
import asyncio, sys
from pathlib import Path
from datacrumbs.commands import _services
from datacrumbs.commands._main import guarded
from datacrumbs.runs.launching import ChildLauncher
from datacrumbs.runs.run_service import LIMITS, RunService
from datacrumbs.system import SystemPaths, make_searched
from dataclasses import replace
paths = SystemPaths(Path({prefix!r}))
class SlowStart(ChildLauncher):
    # What is to be stopped is there only after the first order to stop it, which does nothing.
    ordered = asyncio.Event()

    async def start(self, run, keep):
        await self.ordered.wait()
        return await super().start(run, keep)

    async def interrupt(self, run):
        self.ordered.set()
        await super().interrupt(run)

def serve():
    _services.begin_log()
    make_searched(paths.run)
    make_searched(paths.runs)
    launcher = {kind}((sys.executable, "-I", {daemon!r}, {prefix!r}))
    seconds = dict(claim_seconds={claim_seconds}, ready_seconds={ready_seconds})
    service = RunService(paths, launcher, replace(LIMITS, {limits}), **seconds)
    _services.serve(service, paths.runs_socket, None, lambda: "")
sys.exit(guarded(serve))
"""
DAEMON = """
import json, os, signal, sys
from pathlib import Path
prefix, option, run = sys.argv[1:]
directory = Path(prefix, "run/datacrumbs")
ready, log, environment = (directory / f"datacrumbs-{run}.{kind}" for kind in ("ready", "log", "env"))
if option == "--clean-up":
    ready.unlink(missing_ok=True)
    if os.environ["SERVICE_RESULT"] == "success":
        log.unlink(missing_ok=True)
    sys.exit()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
log.write_text("it begins\\n")
values = dict(line.split("=", 1) for line in environment.read_text().splitlines())
Path(prefix, "seen").write_text(json.dumps({**values, "uid": os.getuid(), "environment": dict(os.environ)}))
if Path(prefix, "broken").exists():
    log.write_text("it cannot begin\\n")
    sys.exit(1)
if not Path(prefix, "slow").exists():
    (directory / "new").write_text(json.dumps({"pid": os.getpid(), "trace": f"/traces/{run}"}))
    (directory / "new").rename(ready)
signal.sigwait({signal.SIGTERM})
Path(prefix, f"ended-{run}").touch()
"""
POLICY = """
rules: []
runs_at_once: 3
runs:
  - users: [root]
    at_once: 2
    duration: 1h
    size: 1G
  - users: [nobody]
    at_once: 2
    duration: 90s
    size: 10M
    modes: [profile]
"""
BOUND = 300.0


class Served:
    """An installation with a service of runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.paths = SystemPaths(directory / "prefix")
        self.paths.prefix.mkdir()
        list(performed(install(self.paths, "all"), dry_run=False))
        self.paths.policy.write_text(POLICY)
        self.log = directory / "log"
        self.daemon = directory / "daemon.py"
        self.daemon.write_text(DAEMON)

    def plan(self, mode: Mode = Mode.TRACE) -> Plan:
        function = Function("true", "true", "POSIX", offset=4096)
        target = Target(os.path.realpath("/bin/true"), file_build_id(Path("/bin/true")))
        group = Group("posix", "libc", Attach.UPROBE, target, (function,), mode=mode)
        return Plan((Provenance("posix", "datacrumbs-posix", "0.1.0", "libc", 40),), (group,), ())

    def signed(self, uid: int = 0, mode: Mode = Mode.TRACE, expires: int = 3600) -> bytes:
        now = int(time.time())
        grant = Grant(uid, "someone", "here", now - 10, now + expires)
        return seal(encode(self.plan(mode)), grant, load_private_key(self.paths.private_key))

    @contextmanager
    def service(
        self,
        limits: str = "",
        claim_seconds: float = BOUND,
        stop: int = signal.SIGTERM,
        kind: str = "ChildLauncher",
        ready_seconds: float = BOUND,
    ):
        code = SERVICE.format(
            prefix=str(self.paths.prefix),
            daemon=str(self.daemon),
            limits=limits,
            claim_seconds=claim_seconds,
            ready_seconds=ready_seconds,
            kind=kind,
        )
        with (
            self.log.open("ab") as log,
            subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process,
        ):
            lines = [process.stderr.readline()]
            while "ready on" not in lines[-1]:
                assert lines[-1], "".join(lines)
                lines.append(process.stderr.readline())
            log.write("".join(lines[:-1]).encode())
            log.flush()
            copier = subprocess.Popen(["cat"], stdin=process.stderr, stdout=log)
            try:
                yield process
            finally:
                process.send_signal(stop)
                process.wait(300)
                copier.wait(300)
        assert process.returncode == (0 if stop == signal.SIGTERM else -stop)

    def left(self) -> list[str]:
        """What is in the directories of runs."""
        names = [path.name for path in self.paths.run.iterdir() if path.is_file()]
        return sorted(names + [path.name for path in self.paths.runs.iterdir()])

    def decisions(self) -> str:
        return self.log.read_text()


def until_ready(run: RunningRun) -> None:
    """Wait until programs are traced."""
    while not run.ready:
        assert not run.ended, run.log
        run.listen()


def until_end(run: RunningRun) -> None:
    """Wait until a run has come to its end."""
    while not run.ended:
        run.listen()


@pytest.fixture
def served():
    if os.geteuid() != 0:
        pytest.skip("the service of runs is root's")
    directory = Path(tempfile.mkdtemp(prefix="datacrumbs-test-"))
    directory.chmod(0o755)
    try:
        yield Served(directory)
    finally:
        end_runs(directory)
        shutil.rmtree(directory)


def end_runs(directory: Path) -> None:
    """End what writes there still: a run that was told to end does so when it gets a processor."""

    def are_gone() -> bool:
        left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _names(path, directory)]
        for path in left:
            with suppress(ProcessLookupError):
                os.kill(int(path.parent.name), signal.SIGKILL)
        return not left

    until(are_gone)


def _names(command_line: Path, directory: Path) -> bool:
    with suppress(OSError):
        return os.fsencode(directory) in command_line.read_bytes()
    return False
