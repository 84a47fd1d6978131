"""A run as a confined unit, where return probes of kernel functions are definitions that outlive a killed daemon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from datacrumbs.testing import TraceLines, read_lines

from ..service.conftest import Machine  # noqa: TID252 - the bed of the service tests, for this kernel too

pytestmark = pytest.mark.guest

SITE = "capture_probes:\n  - provider: sys\n    preset: all\n    functions: vfs_write|write\n"
# By emulation, a compilation alone takes more than a minute.
DROP_IN = "[Service]\nTimeoutStartSec=600\n"
DEFINITIONS = Path("/sys/kernel/tracing/kprobe_events")
AN_HOUR = 3600.0
DD = ("dd", "if=/dev/zero", "of=/dev/null", "bs=1k", "status=none")


def definitions() -> set[str]:
    """What daemons have defined, this process included."""
    return {line for line in DEFINITIONS.read_text().splitlines() if "datacrumbs_" in line}


def step_clock(seconds: float) -> None:
    """Set the guest's clock, as an administrator or a time daemon does."""
    time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)


def check_times(lines: TraceLines) -> None:
    """A run keeps the time that it began with: no call lies an hour later, and all are in order."""
    writes = [call for call in lines.named("write") if call["args"]["ret"] == 1024]
    times = [call["ts"] for call in writes]
    assert times == sorted(times)
    assert 0 < times[-1] - times[0] < AN_HOUR * 1e6 / 2
    assert all(call["dur"] < AN_HOUR * 1e6 / 2 for call in writes)


def test_kernel_functions_from_within_the_sandbox_and_nothing_left_after_a_kill() -> None:
    box = Machine("guest")
    others = definitions()
    try:
        box.start()
        box.set_up()
        box.path("/etc/systemd/system/datacrumbs@.service.d").mkdir()
        box.path("/etc/systemd/system/datacrumbs@.service.d/slow.conf").write_text(DROP_IN)
        box.done("systemctl", "daemon-reload")
        probes = box.probes("alice", SITE)
        for run, count in (("first", 23), ("second", 29)):
            box.environment(run, f"PROBE_FILE={probes}\nUSER=alice\n")
            result = box.systemctl("start", f"datacrumbs@{run}")
            assert result.returncode == 0, box.journal(f"datacrumbs@{run}")
            assert len(definitions() - others) == 1
            box.wrap("alice", *DD, f"count={count}")
            if run == "first":
                step_clock(AN_HOUR)
                box.wrap("alice", *DD, f"count={count}")
                step_clock(-AN_HOUR)
                box.done("systemctl", "stop", "datacrumbs@first")
                lines = read_lines(box.trace("alice", "first"))
                assert (lines.tally()["vfs_write"], lines.tally()["write"]) == (46, 46)
                check_times(lines)
            else:
                box.done("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", f"datacrumbs@{run}")
            deadline = time.monotonic() + 60
            while definitions() - others and time.monotonic() < deadline:
                time.sleep(0.2)
            assert definitions() <= others
    finally:
        box.stop()
