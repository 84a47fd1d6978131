"""A run as users start it: whose it is, beside another one, and what it leaves."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.client import client_library
from datacrumbs.testing import read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests
from .conftest import COMMANDS, NOBODY, SITE, nobodys_probes
from .server import READ

if TYPE_CHECKING:
    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel


def test_two_daemons_at_once_see_the_same(installation: Installation, probes: Path) -> None:
    with installation.daemon(probes) as first, installation.daemon(probes) as second:
        first.wrap("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=7", "count=1009", "status=none", named=False)
        traces = [first.lines(), second.lines()]
    tallies = []
    for trace in traces:
        (process,) = {call["pid"] for call in trace.named("write") if call["args"]["ret"] == 7}
        own = [call for call in trace.calls if call["pid"] == process]
        assert sum(call["args"]["ret"] for call in own if call["name"] == "write") == 7 * 1009
        tallies.append(Counter(call["name"] for call in own))
    assert tallies[0] == tallies[1]


@pytest.fixture
def users_probes(installation: Installation, shared_directory: Path) -> Path:
    """A probe file that an ordinary user composed."""
    return nobodys_probes(installation, Path(tempfile.mkdtemp(prefix="user-", dir=shared_directory)), SITE)


def test_run_of_an_ordinary_user(installation: Installation, users_probes: Path) -> None:
    """The user composes, root runs, only the user's processes are in it, and the trace is the user's."""
    with installation.daemon(users_probes) as daemon:
        daemon.wrap("/bin/cat", "/etc/hostname", user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True)
        daemon.wrap("/bin/cat", "/etc/shadow", capture_output=True)  # root's: must not be seen
        trace = daemon.lines()
    files = {trace.file(call) for call in trace.calls}
    assert "/etc/hostname" in files
    assert "/etc/shadow" not in files
    about = daemon.trace.stat()
    assert (about.st_uid, stat.S_IMODE(about.st_mode)) == (NOBODY, 0o600)


@pytest.mark.parametrize(
    ("kind", "seen"), [("plain", True), ("user", False), ("group", False), ("capable", False), ("unreadable", False)]
)
def test_program_with_others_rights_ends_the_trace(
    installation: Installation, users_probes: Path, shared_directory: Path, kind: str, seen: bool
) -> None:
    """What runs with rights that its user does not have is not shown to the user: the user's debugger sees nothing."""
    program = shared_directory / f"cat-{kind}"
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod({"user": 0o4755, "group": 0o2755, "unreadable": 0o711}.get(kind, 0o755))
    if kind == "capable":  # struct vfs_cap_data, linux/capability.h: version 2, effective, CAP_DAC_READ_SEARCH
        os.setxattr(program, "security.capability", struct.pack("<5I", 0x02000001, 1 << 2, 0, 0, 0))
    with installation.daemon(users_probes) as daemon:
        ids = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        done = daemon.wrap(program, "/etc/hostname", capture_output=True, **ids)
        assert done.stdout == Path("/etc/hostname").read_bytes()
        trace = daemon.lines()
    assert ("/etc/hostname" in {trace.file(call) for call in trace.calls}) is seen


def test_a_program_that_may_not_be_read_does_not_start_its_own_trace(
    installation: Installation, users_probes: Path, shared_directory: Path
) -> None:
    """The client library in `LD_PRELOAD` calls datacrumbs_start in it; a descriptor executes it likewise."""
    program = shared_directory / "cat-closed"
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod(0o711)
    ids = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    with installation.daemon(users_probes) as daemon:
        environment = os.environ | {"LD_PRELOAD": str(client_library())}
        for executed, seen in ((program, "/etc/hostname"), ("/bin/cat", "/etc/passwd")):
            done = subprocess.run([executed, seen], check=True, capture_output=True, env=environment, **ids)
            assert done.stdout == Path(seen).read_bytes()
        trace = daemon.lines()
    files = {trace.file(call) for call in trace.calls}
    assert "/etc/passwd" in files
    assert "/etc/hostname" not in files


def test_program_that_started_before_the_daemon(installation: Installation, probes: Path) -> None:
    """It is not marked, so it is not traced; nothing that it does is counted."""
    command = ["/bin/sh", "-c", "read x; cat /etc/hostname"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as early,
        installation.daemon(probes) as daemon,
    ):
        early.communicate(b"\n")
        daemon.wrap("/bin/true")
        trace = daemon.lines()
    assert "/etc/hostname" not in {trace.file(call) for call in trace.calls}


def test_daemon_stopped_in_the_middle_counts_what_is_inside(installation: Installation, probes: Path) -> None:
    with (
        installation.daemon(probes) as daemon,
        subprocess.Popen(
            [COMMANDS / "datacrumbs_wrap", "/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as waiting,
    ):
        assert waiting.stdin is not None
        assert waiting.stdout is not None
        waiting.stdin.write(b"x")
        waiting.stdin.flush()
        assert waiting.stdout.read(1) == b"x"
        until(lambda: Path(f"/proc/{waiting.pid}/syscall").read_text().split()[0] == str(READ))  # its next one
        daemon.stop()
        waiting.stdin.close()
    trace = read_lines(daemon.trace)
    assert trace.counts["read"]["in_flight"] == 1, trace.counts["read"]
    assert trace.footer["entered"] == trace.footer["recorded"] + trace.footer["unmatched"] + 1


def test_filters_are_counted(installation: Installation, tmp_path: Path) -> None:
    probes = installation.probes(SITE + "filters:\n  minimum_duration: 100ms\n")
    trace = installation.trace(probes, ["/bin/cat", "/etc/hostname"], stdout=-3)
    assert trace.footer["filtered"] > 10
    assert trace.footer["entered"] == trace.footer["filtered"] + trace.footer["recorded"] + trace.footer["unmatched"]
    (tmp_path / "inside").write_text("x")
    probes = installation.probes(SITE + f"filters:\n  inclusion_path: {tmp_path}\n")
    trace = installation.trace(probes, ["/bin/cat", "/etc/hostname", tmp_path / "inside"], stdout=-3)
    assert {trace.file(call) for call in trace.calls} == {str(tmp_path / "inside")}
    assert trace.footer["recorded"] == len(trace.calls)
    assert trace.footer["filtered"] > 10
