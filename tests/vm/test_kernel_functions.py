"""Kernel functions by kprobes, and what lies between a system call and the disk."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs import client
from datacrumbs.engine import kprobe_events
from datacrumbs.model.plan import Attach
from datacrumbs.model.record import FIRST_KIND, CallFlag

from ..kernel.conftest import Trace  # noqa: TID252 - the kernel tests' bed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .guests import Guest

pytestmark = pytest.mark.guest("6.1-amd64", "6.12-amd64", "6.1-arm64")

EBADF, EFAULT = 9, 14
# The verifier of Linux 6.1 gives up after so many steps; snippets of providers come on top of ours.
_STEPS = 1_000_000
_STEPS_OF_OURS = 400_000


def _arguments(trace, call: np.void) -> dict[str, int]:
    """Values of a call by the labels of its arguments."""
    labels = [argument.label for argument in trace.plan.functions[call["function"]].arguments]
    return dict(zip(labels, call["values"].tolist(), strict=False))


def _inside(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether each call of ``inner`` lies within the call of ``outer`` of the same number."""
    end = inner["start"] + inner["duration"]
    return bool(
        (inner["start"] >= outer["start"]).all()
        and (end <= outer["start"] + outer["duration"]).all()
        and (inner["thread"] == outer["thread"]).all()
    )


def test_this_is_the_guests_kernel_and_it_attaches_in_its_way(tracer, guest: Guest) -> None:
    assert os.uname().machine == guest.machine
    assert re.fullmatch(guest.release, os.uname().release)
    assert tracer.report.method == guest.method
    assert tracer.report.failures == ()
    assert tracer.report.functions == len(tracer.plan.functions)


def test_functions_are_those_that_the_kernel_lists(kernel_groups) -> None:
    (group,) = [group for group in kernel_groups if group.attach is Attach.KPROBE]
    symbols = {function.symbol for function in group.functions}
    text = Path("/proc/kallsyms").read_text()
    assert symbols <= {line.split()[2] for line in text.splitlines()}
    assert {"vfs_read", "vfs_write", "filemap_read", "ext4_file_write_iter", "submit_bio"} <= symbols


def test_the_verifier_has_room_for_snippets(tracer) -> None:
    steps = tracer.verified
    print(steps)
    assert {"dc_kernel_enter", "dc_kernel_leave", "dc_library_leave", "dc_system_call_exit"} <= set(steps)
    assert max(steps.values()) < _STEPS_OF_OURS < _STEPS


def test_dd(tracer) -> None:
    trace = tracer.run("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1009", "status=none")
    assert trace.status == 0
    assert trace.count("write") == 1009
    assert trace.returned("vfs_write") == trace.count("vfs_write") == 1009
    assert Counter(trace.named("vfs_write")["result"].tolist()) == {1: 1009}
    assert _inside(trace.named("vfs_write"), trace.named("write"))


def test_results_and_errors(tracer, program: Callable[[str], Path], tmp_path: Path) -> None:
    trace = tracer.run(str(program("layers.c")), "results", str(tmp_path / "file"))
    assert trace.status == 0
    writes, reads = trace.named("vfs_write"), trace.named("vfs_read")
    assert Counter(writes["result"].tolist()) == {7: 101, -EBADF: 13, -EFAULT: 11}
    assert Counter(reads["result"].tolist()) == {3: 53}
    failed = (writes["flags"] & CallFlag.FAILED) != 0
    assert Counter(writes["errno"][failed].tolist()) == {EBADF: 13, EFAULT: 11}
    assert not writes["errno"][~failed].any()
    assert Counter(_arguments(trace, call)["count"] for call in writes) == {7: 101, 19: 13, 23: 11}
    system_calls = trace.named("write")
    assert Counter(system_calls["errno"].tolist()) == {0: 101, EBADF: 13 + 5, EFAULT: 11}
    assert _inside(writes, system_calls[:-5])
    assert _inside(reads, trace.named("read"))


@pytest.fixture(scope="module")
def waiting(tracer, program: Callable[[str], Path]):
    """Counts while 47 threads wait in a read, counts after it, and the calls."""
    tracer.drain()
    read = [function.name for function in tracer.plan.functions].index("read")
    with subprocess.Popen([client.launcher(), program("layers.c"), "blocked", "47"], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while tracer.engine.counts()[read].in_flight < 48 and time.monotonic() < deadline:
            time.sleep(0.2)
        during = tracer.engine.counts()  # now that no thread enters between the reading of one number and the next
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0
    records = tracer.drain()
    trace = Trace(tracer.plan, records[records["function"] < FIRST_KIND], records[:0], dict(tracer.names), 0)
    return during, tracer.engine.counts(), trace


def test_every_thread_that_waits_in_a_kernel_function_returns(waiting) -> None:
    """A return probe of a kernel function has few places for calls in progress, unless it asks for more."""
    _, _, trace = waiting
    assert trace.count("read") == 47 + 1
    assert trace.returned("vfs_read") == 47 + 1
    assert _inside(np.sort(trace.named("vfs_read"), order="thread"), np.sort(trace.named("read"), order="thread"))


@pytest.mark.parametrize("name", ["read", "vfs_read"])
def test_calls_in_progress_of_every_thread(tracer, waiting, name: str) -> None:
    during, after, _ = waiting
    index = [function.name for function in tracer.plan.functions].index(name)
    assert during[index].in_flight == 47 + 1
    assert during[index].balanced
    assert after[index].in_flight == 0
    assert after[index].unmatched == during[index].unmatched


def test_definitions_of_return_probes_go_with_their_run(tracer) -> None:
    """Those of a killed run go with the next one; those in use stay."""
    definitions = Path("/sys/kernel/tracing/kprobe_events")
    own = definitions.read_text()
    assert "r1024:datacrumbs_" in own
    left = own + "r1024:datacrumbs_0a/return_0 vfs_read\n"
    kprobe_events._write("r1024:datacrumbs_0a/return_0 vfs_read")
    assert definitions.read_text() == left
    with definitions.open("rb") as other_daemon:
        fcntl.flock(other_daemon, fcntl.LOCK_SH)  # as one that has defined, and not attached yet
        kprobe_events.remove_left_definitions()
        assert definitions.read_text() == left
    kprobe_events.remove_left_definitions()
    assert definitions.read_text() == own
    link = kprobe_events.attach_kernel_return(tracer.engine._descriptor("dc_kernel_leave"), "vfs_fsync", 0)
    assert definitions.read_text() != own
    link.close()
    assert definitions.read_text() == own


def test_a_file_systems_functions_lie_inside_the_vfs(
    tracer, program: Callable[[str], Path], ext4: Path, tmp_path: Path
) -> None:
    trace = tracer.run(str(program("layers.c")), "write", str(ext4 / "written"))
    assert trace.status == 0
    assert trace.count("vfs_write") == trace.count("ext4_file_write_iter") == 17
    assert _inside(trace.named("ext4_file_write_iter"), trace.named("vfs_write"))
    assert _inside(trace.named("vfs_write"), trace.named("write"))
    assert trace.count("ext4_sync_file") == 1
    on_memory = tracer.run(str(program("layers.c")), "write", str(tmp_path / "written"))
    assert on_memory.count("vfs_write") == 17
    assert on_memory.count("ext4_file_write_iter") == 0


def test_pages_enter_the_cache_once(tracer, program: Callable[[str], Path], ext4: Path) -> None:
    path = ext4 / "cached"
    subprocess.run([program("layers.c"), "write", path], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("1")
    inode = path.stat().st_ino
    added = []
    for _ in range(2):
        trace = tracer.run(str(program("layers.c")), "read", str(path))
        events = [_arguments(trace, call) for call in trace.named("mm_filemap_add_to_page_cache")]
        added.append(sorted(event["index"] for event in events if event["ino"] == inode))
        assert trace.count("vfs_read") == 17
    assert added == [list(range(17)), []]


def test_requests_of_the_disk(tracer, program: Callable[[str], Path]) -> None:
    Path("/sys/block/vdb/queue/scheduler").write_text("none")
    trace = tracer.run(str(program("layers.c")), "direct", "/dev/vdb")
    assert trace.status == 0
    issued = [_arguments(trace, call) for call in trace.named("block_rq_issue")]
    assert [event["sector"] for event in issued] == list(range(0, 31 * 8, 8))
    assert {event["nr_sector"] for event in issued} == {8}
    assert all((call["flags"] & CallFlag.POINT) for call in trace.named("block_rq_issue"))
    assert trace.count("submit_bio") == 31
    assert _inside(trace.named("submit_bio"), trace.named("vfs_read"))


def test_kernel_functions_are_conserved(tracer) -> None:
    tracer.drain()
    for function, count in zip(tracer.plan.functions, tracer.engine.counts(), strict=True):
        assert count.balanced, (function.name, count)
