"""The daemon as its user sees it: started and stopped by the command, watched through /proc, judged by its words."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sysconfig
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.testing import Installation

COMMANDS = Path(sysconfig.get_path("scripts"))
WRAP = str(COMMANDS / "datacrumbs_wrap")
_PATIENCE_SECONDS = 300.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls of a run."""

    entered: int
    recorded: int
    lost: int


@dataclass(slots=True)
class Daemon:
    """A running daemon.

    Args:
        name: Of the run.
        ready_seconds: From the start of its process to its ready file.
        stop_seconds: From the signal to the end of its process; 0 while it runs.
    """

    process: subprocess.Popen[bytes]
    name: str
    trace: Path
    log: Path
    ready_seconds: float
    stop_seconds: float = 0.0
    cpu_seconds: float = 0.0
    stopped: bool = field(default=False)

    @property
    def attach_milliseconds(self) -> float:
        """What it says about attaching, when it has ended: its ready file is there before its words."""
        found = re.search(r"attached in ([\d.]+) ms", self.log.read_text(encoding="utf-8"))
        if not found:
            raise SystemExit(f"the daemon does not say how long attaching took:\n{self.log.read_text()}")
        return float(found[1])

    def processor_seconds(self) -> float:
        """User and system time of all its processes until now."""
        return processor_seconds(self.process.pid)

    def resident_mib(self) -> float:
        """Memory of all its processes; what they share is counted once."""
        return sum(map(_proportional_mib, tree(self.process.pid)))

    def settle(self, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until it has written what came before."""
        deadline = time.monotonic() + seconds
        before = -1.0
        while time.monotonic() < deadline:
            now = self.processor_seconds()
            if 0 <= now - before <= _IDLE_SECONDS_A_STEP and before >= 0:
                return
            before = now
            time.sleep(_STEP_SECONDS)

    def counts(self) -> Counts:
        """What became of every call, by its last words; it must account for each."""
        text = self.log.read_text(encoding="utf-8")
        found = re.search(r"([\d,]+) calls entered, ([\d,]+) recorded, ([\d,]+) lost", text)
        if not found or "every call accounted for" not in text:
            raise SystemExit(f"the daemon does not account for every call:\n{text}")
        return Counts(*(int(number.replace(",", "")) for number in found.groups()))

    def stop(self) -> None:
        """End it as its user would."""
        if self.stopped:
            return
        self.stopped = True
        self.cpu_seconds = self.processor_seconds()
        begin = time.perf_counter()
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(_PATIENCE_SECONDS)
        self.stop_seconds = time.perf_counter() - begin
        if status:
            raise SystemExit(f"the daemon ended with {status}:\n{self.log.read_text(errors='replace')}")

    def traces(self) -> list[Path]:
        """Files of its trace; there are several where it was rotated."""
        return sorted(self.trace.parent.glob(self.trace.name.replace(".pfw.gz", "*.pfw.gz")))

    def bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for path in self.traces())


_STEP_SECONDS, _IDLE_SECONDS_A_STEP = 0.15, 0.015


@contextlib.contextmanager
def daemon(site: Installation, probes: Path, *options: str) -> Iterator[Daemon]:
    """A daemon from ready to stopped."""
    site.runs += 1
    name = f"bench{site.runs}"
    log = site.prefix / f"{name}.log"
    ready = site.prefix / f"run/datacrumbs/datacrumbs-{name}.ready"
    with log.open("wb") as stream:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [COMMANDS / "datacrumbs", "--prefix", site.prefix, *options, probes, name], stderr=stream, close_fds=False
        )
    while not ready.is_file():
        if process.poll() is not None or time.perf_counter() - begin > _PATIENCE_SECONDS:
            raise SystemExit(f"{process.args!r} did not become ready:\n{log.read_text(errors='replace')}")
        time.sleep(0.001)
    seconds = time.perf_counter() - begin
    running = Daemon(process, name, Path(json.loads(ready.read_text())["trace"]), log, seconds)
    try:
        yield running
    finally:
        running.stop()


@cache
def help_of(command: str) -> str:
    """What a command says of its options; a measurement takes those that there are."""
    return subprocess.run([COMMANDS / command, "--help"], capture_output=True, text=True, check=True).stdout


def tree(pid: int) -> list[int]:
    """A process and those that it started."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def processor_seconds(pid: int) -> float:
    """User and system time of a process and those that it started, until now."""
    return sum(map(_processor_seconds, tree(pid)))


# Fields 14 to 17 of /proc/PID/stat: its own time, and that of the children it waited for.
def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def _proportional_mib(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
