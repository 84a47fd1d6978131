"""A daemon that is told what to trace: running processes, and a control group."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import COMMANDS, NOBODY
from .server import LENGTHS, serve, serving, wait_until_in_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.testing import Installation, TraceLines

pytestmark = pytest.mark.kernel

SITE = "capture_probes:\n  - {provider: sys, preset: default}\n  - {provider: posix, preset: stdio}\n"


def lengths(trace: TraceLines) -> Counter[int]:
    """How many writes of each of the lengths of `server.c`."""
    return Counter(call["args"]["ret"] for call in trace.named("write") if call["args"]["ret"] in LENGTHS)


def started(trace: TraceLines) -> list[int]:
    events = [line for line in trace.metadata if line["name"] == "datacrumbs_process"]
    return [line["pid"] for line in events if line["args"]["event"] == "start"]


def test_running_processes(installation: Installation, build: Callable[..., Path], tmp_path: Path) -> None:
    probes = installation.probes(SITE)
    server = build("server.c", "-pthread")
    with serving(server, tmp_path) as first, serving(server, tmp_path) as second, serving(server, tmp_path) as third:
        for process in (first, second, third):
            serve(process, 2)
            wait_until_in_read(process.pid)
        with installation.daemon(probes, arguments=["--pid", str(first.pid), "--pid", str(second.pid)]) as daemon:
            serve(first, 3)
            serve(second, 5)
            serve(third, 7)
            program = ["dd", "if=/dev/zero", "of=/dev/null", "bs=19", "count=101", "status=none"]
            subprocess.run([COMMANDS / "datacrumbs_wrap", *program], check=True)
            trace = daemon.lines()
    assert lengths(trace) == dict.fromkeys(LENGTHS, (3 + 5) * 13)
    assert sorted(started(trace)) == sorted([first.pid, second.pid])
    streams = Counter((call["pid"], trace.file(call)) for call in trace.named("fwrite"))
    path = os.fspath(tmp_path / "stream")
    assert streams == {(first.pid, path): 3 * 13, (second.pid, path): 5 * 13}
    assert not trace.footer.get("handles_unknown")


@pytest.mark.parametrize(
    ("what", "status", "message"),
    [
        ("another user's", 3, "is not a process of root"),
        ("a thread", 2, "is a thread of process"),
        ("none", 2, "no such"),
    ],
)
def test_what_cannot_be_taken(  # noqa: PLR0917 - fixtures
    place: Installation, probes: Path, build: Callable[..., Path], tmp_path: Path, what: str, status: int, message: str
) -> None:
    with (
        serving(build("server.c", "-pthread"), tmp_path) as server,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=NOBODY) as other,
    ):
        threads = sorted(int(task.name) for task in Path(f"/proc/{server.pid}/task").iterdir())
        process = {"another user's": other.pid, "a thread": threads[-1], "none": (1 << 22) - 1}[what]
        done = place.command("datacrumbs", probes, "run", "--pid", str(process))
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr
    assert not list((place.prefix / "var/log/datacrumbs").rglob("*.pfw.gz"))
    assert not list((place.prefix / "run").rglob("*.ready"))
