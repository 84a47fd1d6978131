"""What becomes of a run when the place of its trace goes wrong: the traced program never notices."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import read_lines

from .conftest import COMMANDS
from .test_bad_input import FAILED
from .test_crowds import SEEKS, check_exact, crowd, made_by, seeks, writer_of  # noqa: F401 - fixtures among them

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.testing import Installation, RunningDaemon

pytestmark = pytest.mark.kernel

FROZEN_SECONDS = float(os.environ.get("DATACRUMBS_FROZEN_SECONDS", "2"))
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")
NAMES = 120_000


@contextmanager
def disk(directory: Path, kind: str, megabytes: int, *options: str) -> Iterator[Path]:
    """A file system on an image of its own in place of a directory."""
    image = directory.parent / f"{directory.name}.{kind}"
    with image.open("wb") as stream:
        stream.truncate(megabytes << 20)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", ",".join(("loop", *options)), image, directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)
        image.unlink()


def check_ended(daemon: RunningDaemon, *words: str) -> None:
    """It has said what is wrong, and how to fix it, and left nothing but the trace."""
    assert daemon.process.wait(300) == FAILED
    log = daemon.log.read_text()
    assert all(word in log for word in (*words, "hint: "))
    assert "Traceback" not in log
    assert not daemon.ready.exists()


def test_the_trace_is_removed(place: Installation, seeks: Path, crowd: Path) -> None:  # noqa: F811
    with place.daemon(seeks) as daemon:
        made_by(daemon, crowd, "processes", "23")
        shutil.rmtree(place.prefix / "var/log/datacrumbs")
        made_by(daemon, crowd, "processes", "23")
        check_ended(daemon, f"{daemon.trace}: the trace was removed")


def test_a_read_only_file_system_is_refused_at_the_start(place: Installation, seeks: Path) -> None:  # noqa: F811
    traces = place.prefix / "var/log/datacrumbs"
    with disk(traces, "ext4", 8):
        subprocess.run(["mount", "-o", "remount,ro", traces], check=True)
        done = place.command("datacrumbs", seeks, "run")
    assert done.returncode == FAILED
    assert f"{traces}/root/" in done.stderr
    assert "Read-only file system" in done.stderr
    assert "hint: " in done.stderr


def test_a_file_system_with_a_trace_is_not_made_read_only(place: Installation, seeks: Path, crowd: Path) -> None:  # noqa: F811
    """The kernel keeps a file system writable while somebody writes there."""
    traces = place.prefix / "var/log/datacrumbs"
    with disk(traces, "ext4", 32), place.daemon(seeks) as daemon:
        made = made_by(daemon, crowd, "processes", "23")
        remount = ["mount", "-o", "remount,ro", traces]
        assert subprocess.run(remount, check=False, capture_output=True).returncode != 0
        check_exact(daemon.lines(), made)


def test_a_quota_is_used_up(
    place: Installation,
    seeks: Path,  # noqa: F811
    crowd: Path,  # noqa: F811
    whole_members: Callable[[bytes], bytes],
) -> None:
    traces = place.prefix / "var/log/datacrumbs"
    with disk(traces, "btrfs", 128):
        subprocess.run(["btrfs", "quota", "enable", traces], check=True, capture_output=True)
        subprocess.run(["btrfs", "qgroup", "limit", "1M", traces], check=True)
        with place.daemon(seeks) as daemon:
            for _ in range(100):  # a slow machine makes fewer calls in a second
                if daemon.process.poll() is None:
                    made_by(daemon, crowd, "steady", "1000")
            check_ended(daemon, f"{daemon.trace}", "Disk quota exceeded")
        text = whole_members(daemon.trace.read_bytes())
        report = subprocess.run(
            [COMMANDS / "datacrumbs_report", daemon.trace], capture_output=True, text=True, check=True
        )
    assert text.count(b'"name":"lseek"') > 1000
    # Cutting the torn member off takes room, too, on this file system.
    assert "cut short" in report.stdout


def test_a_file_system_that_hangs_holds_nobody_up(place: Installation, seeks: Path, crowd: Path) -> None:  # noqa: F811
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text("call_ring_mib: 8\nflush_seconds: 0.1\n")
    traces = place.prefix / "var/log/datacrumbs"
    with disk(traces, "ext4", 64), place.daemon(seeks) as daemon:
        before = made_by(daemon, crowd, "processes", "23")
        subprocess.run(["fsfreeze", "--freeze", traces], check=True)
        try:
            made = made_by(daemon, crowd, "steady", str(int(FROZEN_SECONDS * 1000)))
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", traces], check=True)
        check_exact(daemon.lines(), before + made)


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group of its own for the memory of a process."""
    group = MEMORY_GROUPS / f"datacrumbs-{os.getpid()}"
    group.mkdir()
    yield group
    for process in (group / "cgroup.procs").read_text().split():
        (MEMORY_GROUPS / "cgroup.procs").write_text(process)
    group.rmdir()


def test_the_process_that_writes_runs_out_of_memory(
    place: Installation, probes: Path, memory_group: Path, tmp_path: Path
) -> None:
    """Each path is another name to remember, which takes memory; at a limit the kernel ends the process."""
    with place.daemon(probes) as daemon:
        writer = writer_of(daemon)
        (memory_group / "cgroup.procs").write_text(str(writer))
        (memory_group / "memory.limit_in_bytes").write_text(str(4 << 20))
        program = f"import os\nfor n in range({NAMES}): os.path.exists(f'{tmp_path}/{{n}}')\n"
        done = daemon.wrap("/usr/bin/python3", "-c", program, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        check_ended(daemon, "the process that writes the trace ended before the run did", "out of memory?")
    assert read_lines(daemon.trace).metadata


def test_a_stop_while_the_file_system_hangs(place: Installation, seeks: Path, crowd: Path) -> None:  # noqa: F811
    """A stop waits for the trace; a second one does not."""
    traces = place.prefix / "var/log/datacrumbs"
    with disk(traces, "ext4", 64), place.daemon(seeks) as daemon:
        made_by(daemon, crowd, "processes", "23")
        subprocess.run(["fsfreeze", "--freeze", traces], check=True)
        try:
            daemon.process.send_signal(signal.SIGINT)
            daemon.wait_taken(signal.SIGINT)
            assert daemon.process.poll() is None
            daemon.process.send_signal(signal.SIGINT)
            daemon.wait_taken(signal.SIGINT)
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", traces], check=True)
        check_ended(daemon, "stopped again before the trace was complete")
