"""What the measurements share: the machine in words, programs in C, an artificial library, a private installation."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.testing import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS = Path(__file__).resolve().parent / "programs"
TRACE_SOURCES = Path(__file__).resolve().parents[1] / "datacrumbs/trace/src"
_ENCODER = {"deflate.c", "matches.c"}
MEMORY = Path("/dev/shm")  # noqa: S108 -- files without a disk: a disk's own noise would hide the tracer
_CPUINFO = Path("/proc/cpuinfo")
_VERSIONS = (
    ("strace", "-V"),
    ("perf", "--version"),
    ("bpftrace", "-V"),
    ("uftrace", "--version"),
    ("fio", "--version"),
    ("sqlite3", "--version"),
    ("pgbench", "--version"),
    ("git", "--version"),
)


def machine() -> dict[str, str]:
    """What a figure depends on: processor, cores, kernel, versions of what is measured."""
    found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE)
    facts = {
        "processor": f"{found[1] if found else platform.machine()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "load average before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "datacrumbs": __version__,
    }
    for tool, option in _VERSIONS:
        if shutil.which(tool):
            done = subprocess.run([tool, option], capture_output=True, text=True, check=False)
            version = re.search(r"\d+\.\d[\w.]*", done.stdout)
            facts[tool] = version[0] if version else "unknown"
    with contextlib.suppress(ImportError):
        import bcc  # noqa: PLC0415 -- the system package may be missing

        facts["bcc"] = str(bcc.__version__)
    return facts


@contextlib.contextmanager
def installation() -> Iterator[Installation]:
    """A private installation with its signing service; needs root."""
    if os.geteuid() != 0:
        raise SystemExit("measuring traced programs needs root: sudo make bench")
    with tempfile.TemporaryDirectory(prefix="datacrumbs-bench-") as directory:
        prefix = Path(directory)
        prefix.chmod(0o755)
        made = Installation(prefix)
        try:
            made.start()
            yield made
        finally:
            made.stop()


@contextlib.contextmanager
def workplace(below: Path = MEMORY) -> Iterator[Path]:
    """A directory of one's own, on a memory file system unless something else is asked for."""
    with tempfile.TemporaryDirectory(prefix="datacrumbs-bench-", dir=below) as directory:
        yield Path(directory)


def build(name: str, directory: Path) -> Path:
    """Compile a program of ours."""
    output = directory / name
    output_of(["cc", "-O2", "-o", output, PROGRAMS / f"{name}.c", "-lpthread", "-ldl"])
    return output


def build_trace_library(directory: Path, encoder: Path) -> Path:
    """Compile the library that renders a trace's lines, as the product's build does, with another encoder."""
    output = directory / "libtrace.so"
    sources = [path for path in TRACE_SOURCES.glob("*.c") if path.name not in _ENCODER]
    flags = ["-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{TRACE_SOURCES}"]
    output_of(["cc", *flags, "-o", output, *sorted(sources), encoder])
    return output


# How a function begins decides what a probe there costs.
BEGINNINGS = {"push": "push %rbx", "endbr64": "endbr64\n\tpush %rbx"}


def library(functions: int, directory: Path, beginning: str = "push") -> Path:
    """A shared library with this many functions, f_00000 and on, each of a few instructions."""
    output = directory / f"lib{functions}_{beginning}.so"
    text = "\n".join(
        f"\t.globl f_{index:05}\n\t.type f_{index:05}, @function\n\t.p2align 4\n"
        f"f_{index:05}:\n\t{BEGINNINGS[beginning]}\n\tmov %rdi, %rax\n\tpop %rbx\n\tret\n"
        f"\t.size f_{index:05}, . - f_{index:05}"
        for index in range(functions)
    )
    source = output.with_suffix(".s")
    source.write_text(f"\t.text\n{text}\n\t.section .note.GNU-stack\n", encoding="utf-8")
    output_of(["cc", "-shared", "-Wl,--build-id", "-o", output, source])
    return output


def library_site(path: Path) -> str:
    """A site file that probes the functions of a library of `library`."""
    entry = {"name": "bench", "probe": "uprobe", "type": "binary", "file": str(path), "regex": "f_.*"}
    lines = "\n    ".join(f'{key}: "{value}"' for key, value in entry.items())
    return f"capture_probes:\n  - {lines.removeprefix('    ')}\n"


def tell(message: str) -> None:
    """Say on stderr how far it is."""
    print(message, file=sys.stderr, flush=True)


def output_of(command: Sequence[str | Path]) -> str:
    """Standard output of a command that must succeed; a figure of a failed run means nothing."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        close_fds=False,  # lets the interpreter spawn without copying its own page tables
    )
    if done.returncode:
        words = " ".join(map(str, command))
        raise SystemExit(f"{words}: exit {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}")
    return done.stdout
