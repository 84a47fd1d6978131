"""bpftrace, attached before the command starts, on the processes of that name."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _tracer import Work

COUNT, PRINT = "bpftrace, count", "bpftrace, print each"
_START_SECONDS, _END_SECONDS = 60.0, 20.0

# What a record of ours says at least: which call, by whom, with which result, for how long.
_AT_END = {
    COUNT: "@calls[NAME] = count(); @time[NAME] = sum(nsecs - @begin[tid]);",
    PRINT: 'printf("call %d %d %d %d\\n", NAME, tid, RESULT, nsecs - @begin[tid]);',
}


class Bpftrace:
    """One script: count and sum of the times of each function, or a line for each call.

    System calls by the two tracepoints that all share: with those of each call it takes up to two seconds for each
    to detach, and adds no less to a call.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.available = shutil.which("bpftrace") is not None
        self._output = directory / "bpftrace-output"

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        return list(command)

    @contextlib.contextmanager
    def attached(self, work: Work) -> Iterator[None]:
        script, probes = self._script(work)
        # A bigger buffer per processor than the default of 64 pages: else most of what it prints is lost.
        environment = {
            **os.environ,
            "BPFTRACE_PERF_RB_PAGES": "4096",
            "BPFTRACE_MAX_PROBES": "16384",
        }
        with self._output.open("wb") as output:
            process = subprocess.Popen(["bpftrace", "-e", script], stdout=output, stderr=output, env=environment)
            try:
                self._wait(process, probes)
                yield
                self._settle()
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(_END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def seen(self) -> int | None:
        """Calls that it showed; what it drops it does not always know of."""
        text = self._output.read_text(errors="replace")
        if self.name == COUNT:
            return sum(int(number) for number in re.findall(r"^@calls\[\d+\]: (\d+)$", text, re.MULTILINE))
        return len(re.findall(r"^call ", text, re.MULTILINE))

    def _script(self, work: Work) -> tuple[str, int]:
        names = " || ".join(f'comm == "{name}"' for name in work.program.split(","))
        pairs = []
        if work.system_calls:
            pairs.append(("tracepoint:raw_syscalls:sys_enter", "tracepoint:raw_syscalls:sys_exit", "args->id", "ret"))
        for number, (path, symbol) in enumerate(work.symbols):
            pairs.append((f"uprobe:{path}:{symbol}", f"uretprobe:{path}:{symbol}", str(100 + number), "retval"))
        text = ""
        for begin, end, name, result in pairs:
            at_end = _AT_END[self.name].replace("NAME", name)
            at_end = at_end.replace("RESULT", "retval" if result == "retval" else f"args->{result}")
            text += f"{begin} /{names}/ {{ @begin[tid] = nsecs; }}\n"
            text += f"{end} /@begin[tid]/ {{ {at_end} delete(@begin[tid]); }}\n"
        return text + "END { clear(@begin); }\n", 2 * len(pairs)

    # It ends at once when asked to, whatever is left to print.
    def _settle(self) -> None:
        size = -1
        while size != (size := self._output.stat().st_size):
            time.sleep(0.3)

    # Every attached probe is a perf event, beside one buffer per processor.
    def _wait(self, process: subprocess.Popen[bytes], probes: int) -> None:
        wanted = probes + len(os.sched_getaffinity(0))
        deadline = time.monotonic() + _START_SECONDS
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
