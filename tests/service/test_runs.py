"""`datacrumbs@.service` under a booted systemd."""

from __future__ import annotations

import json
import threading
import time

import pytest

from datacrumbs.daemon.identity import TRACING_ID
from datacrumbs.secure.privilege import WHILE_TRACING
from datacrumbs.testing import read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests

DD = ("dd", "if=/dev/zero", "of=/dev/null", "bs=1k", "status=none")


@pytest.fixture(autouse=True)
def _no_logs_of_earlier_tests(machine):
    for log in machine.path("/run/datacrumbs").glob("*.log"):
        log.unlink()


def unloaded(machine, run):
    """A unit that systemd has forgotten."""
    listed = machine.systemctl("list-units", "--all", "--plain", "--no-legend", f"datacrumbs@{run}.service").stdout
    return listed == ""


def start(machine, run, text):
    machine.environment(run, text)
    return machine.systemctl("start", f"datacrumbs@{run}")


def test_start_returns_when_ready_and_stop_when_the_trace_is_complete(machine, alices):
    assert start(machine, "r1", f"PROBE_FILE={alices}\nUSER=alice\nRUN_ID=r1\n").returncode == 0
    ready = json.loads(machine.path("/run/datacrumbs/datacrumbs-r1.ready").read_text())
    assert ready["trace"].startswith("/var/log/datacrumbs/alice/")
    until(lambda: "ready:" in machine.log("r1"))
    machine.wrap("alice", *DD, "count=23")
    machine.done("systemctl", "stop", "datacrumbs@r1")
    lines = read_lines(machine.trace("alice", "r1"))
    assert lines.footer
    assert lines.tally()["write"] == 23
    assert "every call accounted for" in machine.journal("datacrumbs@r1")
    assert not any("confined" in name for name in machine.run_files())
    assert unloaded(machine, "r1")
    assert machine.systemctl("is-enabled", "datacrumbs@r1").stdout.strip() in {"static", "not-found"}
    assert list(machine.path("/etc/systemd/system").glob("*.wants/datacrumbs@*")) == []


def test_the_unit_has_limits(machine, alices):
    """What a run takes is outside of its job's limits, so it has some of its own."""
    assert start(machine, "limits", f"PROBE_FILE={alices}\n").returncode == 0
    shown = machine.done("systemctl", "show", "datacrumbs@limits", "-p", "MemoryMax,TasksMax,CPUQuotaPerSecUSec")
    machine.done("systemctl", "stop", "datacrumbs@limits")
    assert set(shown.split()) == {"MemoryMax=4294967296", "TasksMax=512", "CPUQuotaPerSecUSec=2s"}


BUSY = (
    "the machine was too busy",
    "the machine was too busy when the run began",
    "the run ended before it was measured",
)


def test_costs_are_measured_within_the_sandbox(machine, alices):
    """Or it is said that the machine was too busy; nothing that this takes is refused by the unit."""
    assert start(machine, "costs", f"PROBE_FILE={alices}\n").returncode == 0
    pid = machine.show("datacrumbs@costs", "MainPID")
    kept = machine.path("/var/lib/datacrumbs/costs")
    # There is nothing to wait for where the machine was too busy when the run began.
    deadline = time.monotonic() + 20
    while not any(kept.glob("*")) and "Z" not in machine.run("ps", "--ppid", pid, "-o", "stat=").stdout:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    machine.wrap("alice", *DD, "count=31")
    machine.done("systemctl", "stop", "datacrumbs@costs")
    lines = read_lines(machine.trace("alice", "costs"))
    assert lines.tally()["write"] == 31
    assert lines.provenance.get("cost", "") in ("", *(f"not calibrated: {reason}" for reason in BUSY))


def test_library_functions_are_probed_from_within_the_sandbox(machine):
    probes = machine.probes("alice", "capture_probes:\n  - provider: posix\n    preset: all\n", "posix.json.gz")
    assert start(machine, "posix", f"PROBE_FILE={probes}\n").returncode == 0, machine.journal("datacrumbs@posix")
    machine.wrap("alice", *DD, "count=29")
    machine.done("systemctl", "stop", "datacrumbs@posix")
    assert read_lines(machine.trace("alice", "posix")).tally()["write"] == 29


def test_chrony_is_asked_from_within_the_sandbox(machine, alices):
    """With a chronyd that does not touch the clock (-x)."""
    machine.path("/etc/chrony-x.conf").write_text("local stratum 5\ncmdport 0\nport 0\npidfile /run/chrony/pid\n")
    machine.done("install", "--directory", "--mode=0750", "/run/chrony")
    machine.done("chronyd", "-x", "-f", "/etc/chrony-x.conf", "-u", "root")
    assert start(machine, "clock", f"PROBE_FILE={alices}\n").returncode == 0
    machine.done("systemctl", "stop", "datacrumbs@clock")
    machine.done("kill", machine.path("/run/chrony/pid").read_text().strip())
    readings = [line["args"] for line in read_lines(machine.trace("alice", "clock")).metadata if is_clock(line)]
    assert [(reading.get("set_by"), reading.get("reference"), reading.get("stratum")) for reading in readings] == [
        ("chrony", "local", 5),
        (None, None, None),
    ]


def is_clock(line):
    return line["name"] == "datacrumbs_clock"


def test_a_run_that_only_adds_up(machine, alices):
    assert start(machine, "profiled", f"PROBE_FILE={alices}\nMODE=profile\n").returncode == 0
    machine.wrap("alice", *DD, "count=59")
    machine.done("systemctl", "stop", "datacrumbs@profiled")
    lines = read_lines(machine.trace("alice", "profiled"))
    assert (len(lines.calls), lines.counts["write"]["entered"]) == (0, 59)


REFUSALS = {
    "absent": (None, "datacrumbs-absent.env: cannot be opened: No such file"),
    "wrong-line": ("PROBE_FILE=/x\nnonsense\n", "'nonsense'; expected KEY=VALUE"),
    "injected": ("PROBE_FILE=/tmp/a\nLD_PRELOAD=/tmp/evil.so\n", "'LD_PRELOAD=/tmp/evil.so'; expected KEY=VALUE"),
    "twice": ("PROBE_FILE=/tmp/a\nPROBE_FILE=/tmp/b\n", "PROBE_FILE: given twice"),
    "relative": ("PROBE_FILE=probes.json.gz\n", "expected the absolute path"),
    "other-run": ("PROBE_FILE=/x\nRUN_ID=7\n", "RUN_ID: '7' is not the unit's instance 'other-run'"),
    "more": ("PROBE_FILE=/x\nMODE=trace\n", "MODE: 'trace'; expected profile"),
    "nobodys": ("PROBE_FILE=/x\nUSER=carol\n", "USER: 'carol': no such user on this host"),
    "gone": ("PROBE_FILE=/absent/$(touch /pwned)\n", "/absent/$(touch /pwned): cannot be opened"),
    "climbing": ("PROBE_FILE=/home/alice/../../etc/shadow\n", "not a probe file"),
    "long": (f"PROBE_FILE=/{'x' * 4096}\n", "File name too long"),
}


@pytest.mark.parametrize("run", REFUSALS)
def test_a_start_that_fails_says_why_in_journal_and_log(machine, run):
    text, reason = REFUSALS[run]
    if text is not None:
        machine.environment(run, text)
    result = machine.systemctl("start", f"datacrumbs@{run}")
    assert result.returncode == 1
    assert "failed" in result.stderr
    assert reason in machine.journal(f"datacrumbs@{run}")
    assert reason in machine.log(run)
    assert not machine.path("/pwned").exists()
    assert machine.run_files() == {f"datacrumbs-{run}.log"}
    until(lambda: unloaded(machine, run))


def test_another_users_grant_is_refused_and_the_user_can_read_why(machine, alices):
    assert start(machine, "stolen", f"PROBE_FILE={alices}\nUSER=bob\n").returncode == 1
    assert "granted to alice" in machine.log("stolen")
    log = "/run/datacrumbs/datacrumbs-stolen.log"
    assert machine.run("stat", "--format=%U", log).stdout == "root\n"
    assert "granted to alice" in machine.done("runuser", "-u", "bob", "--", "cat", log)
    assert machine.run("runuser", "-u", "alice", "--", "cat", log).returncode == 1


def test_an_environment_file_of_another_owner_is_refused(machine, alices):
    machine.environment("planted", f"PROBE_FILE={alices}\n")
    machine.done("chown", "bob", "/run/datacrumbs/datacrumbs-planted.env")
    assert machine.systemctl("start", "datacrumbs@planted").returncode == 1
    assert "expected root" in machine.log("planted")


@pytest.mark.parametrize(
    "name", ["a b.json.gz", "$(touch pwned).json.gz", "';touch pwned;'.json.gz", '"q".json.gz', "%n"]
)
def test_a_probe_files_name_is_only_a_name(machine, alices, name):
    machine.done("cp", alices, f"/home/alice/{name}")
    assert start(machine, "named", f"PROBE_FILE=/home/alice/{name}\n").returncode == 0, machine.log("named")
    machine.done("systemctl", "stop", "datacrumbs@named")
    assert not machine.path("/pwned").exists()
    assert read_lines(machine.trace("alice", "named")).footer
    machine.trace("alice", "named").unlink()


# systemd itself escapes the first two; what it lets through, the daemon refuses.
@pytest.mark.parametrize("run", ["$(touch pwned)", "x;touch pwned", "..", "a" * 65])
def test_a_run_id_that_is_no_plain_name_is_refused(machine, run):
    result = machine.systemctl("start", f"datacrumbs@{run}")
    assert result.returncode == 1
    assert machine.run_files() == set()
    assert not machine.path("/pwned").exists()


def test_several_runs_at_once_see_their_own_users_only(machine, alices, bobs):
    runs = {"many1": ("alice", alices), "many2": ("bob", bobs), "many3": ("bob", bobs)}
    starts = [
        threading.Thread(target=start, args=(machine, run, f"PROBE_FILE={probes}\nUSER={user}\n"))
        for run, (user, probes) in runs.items()
    ]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    machine.wrap("alice", *DD, "count=31")
    machine.wrap("bob", *DD, "count=37")
    machine.done("systemctl", "stop", "datacrumbs@many*")
    writes = {run: read_lines(machine.trace(user, run)).tally()["write"] for run, (user, _) in runs.items()}
    assert writes == {"many1": 31, "many2": 37, "many3": 37}
    assert machine.run_files() == set()


def test_a_killed_daemon_leaves_a_readable_trace_and_nothing_else(machine, alices, whole_members):
    assert start(machine, "killed", f"PROBE_FILE={alices}\n").returncode == 0
    machine.wrap("alice", *DD, "count=41")
    written = machine.trace("alice", "killed")
    until(lambda: whole_members(written.read_bytes()).count(b'"name":"write"') == 41)
    machine.done("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "datacrumbs@killed")
    until(lambda: unloaded(machine, "killed"))
    assert "Failed with result 'signal'" in machine.journal("datacrumbs@killed")
    # Only the log stays, which says how far it came; no restart.
    assert machine.run_files() == {"datacrumbs-killed.log"}
    machine.wrap("alice", *DD, "count=1")
    trace = machine.trace("alice", "killed")
    assert whole_members(trace.read_bytes()).count(b'"name":"write"') == 41
    (inside,) = machine.done("find", "/var/log/datacrumbs", "-name", "*-killed-*").split()
    assert "cut short" in machine.done_product("datacrumbs_report", inside)
    # The same id again would overwrite that trace.
    assert machine.systemctl("start", "datacrumbs@killed").returncode == 1
    assert "exists already" in machine.log("killed")


def test_a_daemon_killed_while_it_starts_fails_the_start(machine, alices):
    machine.environment("early", f"PROBE_FILE={alices}\n")
    results = []
    thread = threading.Thread(target=lambda: results.append(machine.systemctl("start", "datacrumbs@early")))
    thread.start()
    until(lambda: machine.path("/run/datacrumbs/datacrumbs-early.lock").exists())
    machine.systemctl("kill", "--kill-whom=main", "--signal=SIGKILL", "datacrumbs@early")
    thread.join()
    assert results[0].returncode == 1
    assert machine.run_files() == {"datacrumbs-early.log"}


def test_cleaning_up_spares_a_daemon_that_runs(machine, alices):
    assert start(machine, "spared", f"PROBE_FILE={alices}\n").returncode == 0
    machine.done_product("datacrumbs", "--clean-up", "spared")
    assert "datacrumbs-spared.ready" in machine.run_files()
    machine.done("systemctl", "stop", "datacrumbs@spared")


def test_the_daemon_is_confined(machine, alices):
    assert start(machine, "confined", f"PROBE_FILE={alices}\n").returncode == 0
    pid = machine.show("datacrumbs@confined", "MainPID")
    status = dict(line.split(":\t", 1) for line in machine.path(f"/proc/{pid}/status").read_text().splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert set(status["Uid"].split() + status["Gid"].split()) == {str(TRACING_ID)}
    assert int(status["CapEff"], 16) == sum(1 << each for each in WHILE_TRACING)
    granted = machine.run("capsh", f"--decode={status['CapBnd']}").stdout.strip().partition("=")[2].split(",")
    assert "cap_net_admin" not in granted
    assert "cap_sys_module" not in granted
    assert "cap_bpf" in granted

    def attempt(path):
        return machine.run("nsenter", "--target", pid, "--mount", "--", "touch", path).stderr

    for path in ("/etc/x", "/usr/x", "/home/alice/x", "/var/x", "/root/x", "/sys/kernel/x", "/run/x"):
        assert "Read-only file system" in attempt(path), path
    assert attempt("/var/log/datacrumbs/x") == ""
    assert attempt("/var/lib/datacrumbs/x") == ""
    machine.done("rm", "/var/log/datacrumbs/x", "/var/lib/datacrumbs/x")
    machine.done("systemctl", "stop", "datacrumbs@confined")
    assert machine.run_files() == set()


def test_another_trace_directory_reaches_the_sandbox_by_setup(machine, alices):
    configuration = machine.path("/etc/datacrumbs/datacrumbs.yaml")
    shipped = configuration.read_text()
    machine.done("mkdir", "/other-traces")
    configuration.write_text("trace_log_dir: /other-traces\n")
    try:
        assert start(machine, "moved", f"PROBE_FILE={alices}\n").returncode == 1
        assert "Read-only file system" in machine.log("moved")
        machine.done_product("datacrumbs_setup")
        machine.done("systemctl", "daemon-reload")
        assert start(machine, "moved", f"PROBE_FILE={alices}\n").returncode == 0, machine.log("moved")
        machine.done("systemctl", "stop", "datacrumbs@moved")
        assert len(list(machine.path("/other-traces").glob("alice/*/*-moved-*.pfw.gz"))) == 1
    finally:
        configuration.write_text(shipped)
        machine.done_product("datacrumbs_setup")
        machine.done("systemctl", "daemon-reload")
