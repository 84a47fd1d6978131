"""Other tracers, on the same functions of the same commands: those that start with the command."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import subprocess
import sys
from functools import cache
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING

from _bpftrace import Bpftrace
from _harness import tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _tracer import Tracer, Work

CACHE = Path(__file__).resolve().parents[1] / ".cache"
DFTRACER, DFANALYZER, DUCKDB = "DFTracer", "DFAnalyzer", "DuckDB"
_PACKAGES = {
    DFTRACER: ("--no-deps", "dftracer==2.1.0"),
    DFANALYZER: ("dftracer-analyzer==0.0.9", "dftracer-utils==0.0.12"),  # later utilities break this analyzer
    DUCKDB: ("duckdb",),
}


class _Started:
    """A tracer whose command line goes before the traced one."""

    name = ""
    available = True

    def __init__(self, directory: Path) -> None:
        self.output = directory / f"output-of-{type(self).__name__.lower()}"

    @contextlib.contextmanager
    def attached(self, work: Work) -> Iterator[None]:
        self._work = work
        try:
            yield
        finally:
            shutil.rmtree(self.output, ignore_errors=True)
            self.output.unlink(missing_ok=True)

    def seen(self) -> int | None:
        return None


class Bare(_Started):
    """Nothing."""

    name = "bare"

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        return list(command)


class EmptyPrograms(Bare):
    """Programs that do nothing, at the begin and the end of each system call: what no tracer of them can go below."""

    name = "two programs that do nothing"

    @contextlib.contextmanager
    def attached(self, work: Work) -> Iterator[None]:
        with (
            super().attached(work),
            subprocess.Popen(
                [sys.executable, "-c", _EMPTY_PROGRAMS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as process,
        ):
            if process.stdout is None or process.stdout.readline() != b"attached\n":
                raise SystemExit(f"{self.name} cannot be attached")
            yield
            process.communicate()


_EMPTY_PROGRAMS = """\
import sys
from bcc import BPF
programs = BPF(text="RAW_TRACEPOINT_PROBE(sys_enter) { return 0; } RAW_TRACEPOINT_PROBE(sys_exit) { return 0; }")
print("attached", flush=True)
sys.stdin.read()
"""


class Strace(_Started):
    """``strace -f``, counting or printing each call."""

    def __init__(self, directory: Path, *, count: bool) -> None:
        super().__init__(directory)
        self.name = "strace -f -c" if count else "strace -f"
        self.available = shutil.which("strace") is not None
        self._options = ["-c"] if count else []

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        calls = ",".join(self._work.system_calls)
        return ["strace", "-f", *self._options, "-e", f"trace={calls}", "-o", self.output, *command]


class PerfTrace(_Started):
    """``perf trace``, which prints each call."""

    name = "perf trace"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.available = (
            shutil.which("perf") is not None
            and subprocess.run(["perf", "trace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode
            == 0
        )

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        return ["perf", "trace", "-e", ",".join(self._work.system_calls), "-o", self.output, *command]


class Uftrace(_Started):
    """``uftrace``, which turns the program's jumps into libraries."""

    name = "uftrace"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.available = shutil.which("uftrace") is not None

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        shutil.rmtree(self.output, ignore_errors=True)  # else it keeps the last run's beside
        return ["uftrace", "record", "--force", "--no-event", "-d", self.output, *command]


class Dftracer(_Started):
    """DFTracer's preloaded library: all calls of the C library that it knows, in the program itself."""

    name = DFTRACER

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._library = _dftracer_library()
        self.available = self._library is not None
        self._seen = self.size = 0

    @contextlib.contextmanager
    def attached(self, work: Work) -> Iterator[None]:
        self.output.mkdir()
        self._seen = self.size = 0
        with super().attached(work):
            yield
            for trace in self.output.glob("*.gz"):
                self.size += trace.stat().st_size
                with gzip.open(trace, "rb") as stream:
                    self._seen += sum(b'"ph":"X"' in line and b'"cat":"dftracer"' not in line for line in stream)

    # By env, so that only the traced command has it.
    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        settings = {
            "LD_PRELOAD": self._library,
            "DFTRACER_ENABLE": 1,
            "DFTRACER_INIT": "PRELOAD",
            "DFTRACER_LOG_FILE": self.output / "trace",
            "DFTRACER_DATA_DIR": "all",
            "DFTRACER_INC_METADATA": 1,
        }
        return ["env", *(f"{key}={value}" for key, value in settings.items()), *command]

    def seen(self) -> int | None:
        return self._seen


def _dftracer_library() -> Path | None:
    place = environment(DFTRACER)
    return next(place.rglob("libdftracer_preload.so"), None) if place else None


@cache
def environment(name: str) -> Path | None:
    """The virtual environment of another tool, made unless it is there; None where it cannot be had, which is said."""
    place = CACHE / name.lower()
    if not place.is_dir():
        tell(f"getting {name}")
        CACHE.mkdir(parents=True, exist_ok=True)
        steps: list[list[str | Path]] = [
            ["/usr/bin/python3", "-m", "venv", place],
            [place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES[name]],
        ]
        for step in steps:
            if subprocess.run(step, check=False).returncode:
                shutil.rmtree(place, ignore_errors=True)
                tell(f"{name} cannot be had here; it is left out")
                return None
    return place


def analysis(traces: Path, result: Path) -> list[str | Path]:
    """The command by which DFAnalyzer reads a directory; no words where it cannot be had."""
    place = environment(DFANALYZER)
    if place is None:
        return []
    settings = {"trace_path": traces, "cluster.n_workers": os.cpu_count(), "output.file_path": result}
    words = ["analyzer/preset=posix", "output=json", *(f"{key}={value}" for key, value in settings.items())]
    return ["env", f"USER={getuser()}", place / "bin/dfanalyzer", *words]


def peers(directory: Path) -> list[Tracer]:
    """Those that are on this machine."""
    found: list[Tracer] = [
        Bpftrace(directory, "bpftrace, count"),
        Bpftrace(directory, "bpftrace, print each"),
        PerfTrace(directory),
        Strace(directory, count=True),
        Strace(directory, count=False),
        Dftracer(directory),
        Uftrace(directory),
    ]
    return [peer for peer in found if peer.available]
