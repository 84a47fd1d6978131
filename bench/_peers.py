"""Other tracers of system calls, on the same system calls of the same commands."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from _harness import timed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

START_SECONDS = 60.0
_UNSEEN = 20  # calls of one run


class Strace:
    """``strace -f``, counting or printing each call to a file."""

    def __init__(self, directory: Path, *, count: bool) -> None:
        self.name = "strace -f -c" if count else "strace -f -o FILE"
        self.available = shutil.which("strace") is not None
        self._options = ["-c"] if count else []
        self._output = directory / "strace"

    @contextlib.contextmanager
    def attached(self, calls: Counter[str], program: str) -> Iterator[None]:
        """It starts anew with each command."""
        del program
        self._calls = ",".join(sorted(calls))
        yield

    def run(self, command: Sequence[str]) -> float:
        """Seconds of one traced run."""
        return timed(["strace", "-f", *self._options, "-e", f"trace={self._calls}", "-o", self._output, *command])

    def lost(self, calls: Counter[str], runs: int) -> int:
        """None: strace stops the program at each call."""
        del calls, runs
        return 0


class Bpftrace:
    """``bpftrace`` on the system calls of programs of that name, attached before the clock starts.

    It uses the two tracepoints that all system calls share: with those of each call it takes up to two seconds
    for each to detach, and adds no less to a call.
    """

    SCRIPTS: ClassVar[dict[str, str]] = {
        "bpftrace, count": 'tracepoint:raw_syscalls:sys_enter /comm == "PROGRAM"/ { @[args->id] = count(); }',
        # What a record of ours says at least: which call, by whom, with which result, for how long.
        "bpftrace, print each": (
            'tracepoint:raw_syscalls:sys_enter /comm == "PROGRAM"/ { @begin[tid] = nsecs; }\n'
            "tracepoint:raw_syscalls:sys_exit /@begin[tid]/ "
            '{ printf("call %d %d %d %d\\n", args->id, tid, args->ret, nsecs - @begin[tid]); delete(@begin[tid]); }'
        ),
    }

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.available = shutil.which("bpftrace") is not None
        self._output = directory / "bpftrace"

    @contextlib.contextmanager
    def attached(self, calls: Counter[str], program: str) -> Iterator[None]:
        """Attached to every process of that name."""
        del calls
        script = self.SCRIPTS[self.name].replace("PROGRAM", program)
        # A bigger buffer per processor than the default of 64 pages: else most of what it prints is lost.
        environment = {**os.environ, "BPFTRACE_PERF_RB_PAGES": "4096"}
        with self._output.open("wb") as output:
            process = subprocess.Popen(["bpftrace", "-e", script], stdout=output, stderr=output, env=environment)
            try:
                self._wait(process, script.count("tracepoint:"))
                yield
                self._settle()
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(START_SECONDS)

    def run(self, command: Sequence[str]) -> float:
        """Seconds of one traced run."""
        return timed(command)

    def lost(self, calls: Counter[str], runs: int) -> int:
        """Calls that there were and it did not show; it knows of some of them only."""
        text = self._output.read_text(errors="replace")
        if "count" in self.name:
            seen = sum(int(number) for number in re.findall(r"^@\[\d+\]: (\d+)$", text, re.MULTILINE))
        else:
            seen = len(re.findall(r"^call ", text, re.MULTILINE))
        if not seen:
            raise SystemExit(f"{self.name} saw nothing:\n{text[-2000:]}")
        # Those before the program has its name and those that never return are nobody's fault.
        missing = runs * calls.total() - seen
        return missing if missing > runs * _UNSEEN else 0

    # It ends at once when told to, whatever is left to print.
    def _settle(self) -> None:
        size = -1
        while size != (size := self._output.stat().st_size):
            time.sleep(0.3)

    # Every attached tracepoint is a perf event, beside one buffer per processor.
    def _wait(self, process: subprocess.Popen[bytes], probes: int) -> None:
        wanted = probes + len(os.sched_getaffinity(0))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if _perf_events(process.pid) >= wanted:
                return
            time.sleep(0.02)
        raise SystemExit(f"{self.name} did not attach:\n{self._output.read_text(errors='replace')}")


def _perf_events(pid: int) -> int:
    count = 0
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += str(link.readlink()) == "anon_inode:[perf_event]"
    return count
