"""A booted systemd with an installation of its own, to test units in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

import datacrumbs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
REPOSITORY = Path(datacrumbs.__file__).resolve().parent.parent
COMMANDS = Path(sysconfig.get_path("scripts"))
BOOT_SECONDS = 120.0
COMMAND_SECONDS = 900.0  # in a machine that is emulated, too


class Bed(Protocol):
    """What is started and stopped: a machine, or several."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


AnyBed = TypeVar("AnyBed", bound=Bed)


@contextmanager
def started(make: Callable[[], AnyBed], *needed: str) -> Iterator[AnyBed]:
    """A bed from its start to its stop; the test is skipped where a command that it needs is not installed."""
    for command in needed:
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    made = make()
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Box:
    """One machine on the host's kernel, from `start` to `stop`."""

    def __init__(self, name: str) -> None:
        self.name = f"datacrumbs-{name}-{os.getpid()}"
        self.directory = Path(tempfile.mkdtemp(prefix="datacrumbs-box-"))
        self.console = self.directory.with_name(self.directory.name + ".console")
        self.process: subprocess.Popen[bytes] | None = None
        self.init = 0

    def start(self) -> None:
        """Boot, and wait until systemd has nothing more to start."""
        boot = [HERE / "boot.sh", self.name, self.directory, *sorted({REPOSITORY, Path(sys.prefix).resolve()})]
        with self.console.open("wb") as console:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", *boot],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.wait_for(self._find_init, "no systemd")
        self.wait_for(lambda: self.systemctl("is-system-running").stdout.strip() in {"running", "degraded"}, "no boot")

    def stop(self) -> None:
        """Power off and remove everything; idempotent."""
        if not self.directory.exists():
            return
        if self.process is not None:
            if self.process.poll() is None:
                if self.init:
                    os.kill(self.init, signal.SIGRTMIN + 4)  # systemd(1): poweroff.target
                else:
                    self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for hierarchy in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup")):
            for directory, _, _ in os.walk(hierarchy / self.name, topdown=False):
                with suppress(OSError):
                    os.rmdir(directory)  # noqa: PTH106 - a path of os.walk
        self.directory.rmdir()
        self.console.unlink(missing_ok=True)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command in it; its output is captured."""
        inside = ["nsenter", "--target", str(self.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return subprocess.run(
            [*inside, "--", *command], check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )

    def product(self, name: str, *arguments: str | Path, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of the product's commands in it, as root or as another user."""
        prefix = ["runuser", "-u", user, "--"] if user else []
        return self.run(*prefix, COMMANDS / name, *arguments)

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run systemctl in it."""
        return self.run("systemctl", *arguments)

    def journal(self, unit: str) -> str:
        """What a unit and systemd about it have logged."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit).stdout

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).stdout.strip()

    def path(self, inside: str) -> Path:
        """A path in the box, as the host reaches it."""
        return Path(f"/proc/{self.init}/root{inside}")

    def wait_for(self, reached: Callable[[], bool], problem: str) -> None:
        """Wait for what its start brings about."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not reached():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{problem} in {self.name}:\n{self.console.read_text(errors='replace')}")
            time.sleep(0.05)

    def _find_init(self) -> bool:
        assert self.process is not None
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                # In its own pid namespace it is the first.
                if status.partition("NSpid:")[2].split("\n")[0].split()[-1] == "1" and "Name:\tsystemd\n" in status:
                    self.init = pid
                    return True
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return False
