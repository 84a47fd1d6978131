"""The default site file on what training programs do: workers that load NumPy's files, by reading and by mapping."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.site import default_site_file

from .conftest import PROGRAMS

if TYPE_CHECKING:
    from datacrumbs.testing import Installation, TraceLines

pytestmark = pytest.mark.kernel

# As the program has them, and the bytes of an array.
FILES, READ, MAPPED, SIZE = 7, 3, 5, 16411 * 8
CALL = re.compile(r"\d+ +(\w+)\(.*?(array\d\.npy)")
# The names of the C library's functions, by which the trace has system calls.
NAMES = {"openat": "open", "newfstatat": "stat", "fstat": "stat"}


@pytest.fixture(scope="module")
def probes(installation: Installation) -> Path:
    return installation.probes(default_site_file().read_text(encoding="utf-8"))


def by_file(trace: TraceLines, category: str) -> Counter[tuple[str, str]]:
    """Number of calls by function and array."""
    calls = ((call, Path(trace.file(call)).name) for call in trace.calls if call["cat"] == category)
    return Counter((call["name"], file) for call, file in calls if file.endswith(".npy"))


def seen_by_strace(command: list[str | Path], directory: Path) -> Counter[tuple[str, str]]:
    output = directory / "strace"
    subprocess.run(["strace", "-f", "-qq", "-y", "-o", output, *command], check=True, capture_output=True)
    lines = map(CALL.match, output.read_text(encoding="utf-8").splitlines())
    return Counter((NAMES.get(line[1], line[1]), line[2]) for line in lines if line)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_load_arrays(installation: Installation, probes: Path, tmp_path: Path, start: str) -> None:
    """Each system call on an array is one that strace sees; each transfer is known, in its process."""
    command: list[str | Path] = [sys.executable, PROGRAMS / "loader.py", start, tmp_path]
    with installation.daemon(probes) as daemon:
        done = daemon.wrap(*command, capture_output=True, text=True)
        trace = daemon.lines()
    assert (done.returncode, done.stderr) == (0, "")
    assert by_file(trace, "POSIX") == seen_by_strace(command, tmp_path)
    files = [f"array{index}.npy" for index in range(FILES)]
    streams = by_file(trace, "STDIO")
    for name, count in (("fread", READ), ("fwrite", 1)):
        assert {file: streams[name, file] for file in files} == dict.fromkeys(files, count)
    mapped = [call for call in trace.named("mmap") if trace.file(call).endswith(".npy")]
    read = [call for call in trace.named("fread") if trace.file(call).endswith(".npy")]
    assert Counter(Path(trace.file(call)).name for call in mapped) == dict.fromkeys(files, MAPPED)
    assert {call["args"]["bytes"] for call in read} == {SIZE}
    writers = {call["pid"] for call in trace.named("fwrite") if trace.file(call).endswith(".npy")}
    assert len(writers) == 1
    assert writers.isdisjoint(call["pid"] for call in (*read, *mapped))
    footer = trace.footer
    assert footer["entered"] == footer["recorded"] + footer["filtered"]
    assert footer["recorded"] == len(trace.calls)
