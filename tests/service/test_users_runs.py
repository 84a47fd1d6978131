"""`datacrumbs_runs.socket` and `.service` under a booted systemd: users record without being root."""

from __future__ import annotations

import json
import subprocess
import threading

import pytest

from datacrumbs.testing import read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests

SERVICE = "datacrumbs_runs.service"
BOUND = 300.0
SITE = "capture_probes:\n  - provider: sys\n    preset: data\n"


@pytest.fixture
def runs(machine):
    for user in ("alice", "bob"):
        machine.path(f"/home/{user}/record.yaml").write_text(SITE)
    machine.done("systemctl", "start", "datacrumbs_runs.socket")
    yield machine
    machine.done("systemctl", "stop", "datacrumbs_runs.socket", SERVICE)


def recorded(machine, user, name, script):
    home = f"/home/{user}"
    options = ["--site", f"{home}/record.yaml", "-o", f"{home}/{name}.pfw.gz", "--no-report"]
    return machine.product("datacrumbs_record", *options, "--", "sh", "-c", script, user=user)


def writes(machine, user, name):
    trace = read_lines(machine.path(f"/home/{user}/{name}.pfw.gz"))
    return sum(call["args"]["ret"] == 7 for call in trace.named("write"))


def dd(count):
    return f"dd if=/dev/zero of=/dev/null bs=7 count={count} status=none"


def listed(machine, user):
    return json.loads(machine.done_product("datacrumbs_list", "--json", user=user))


def test_a_users_run_is_a_unit_and_leaves_nothing(runs):
    done = recorded(runs, "alice", "first", dd(211))
    assert done.returncode == 0, done.stderr + runs.journal(SERVICE)
    assert "every call accounted for" in done.stderr, done.stderr
    assert writes(runs, "alice", "first") == 211
    assert "datacrumbs@run-" in runs.run("journalctl", "--no-pager").stdout
    assert runs.systemctl("list-units", "--all", "--plain", "--no-legend", "datacrumbs@*").stdout == ""
    assert list(runs.path("/run/datacrumbs/runs").iterdir()) == []


def test_a_service_killed_in_mid_run_loses_no_run_and_others_see_nothing(runs):
    results = []
    script = f"touch begun; {dd(101)}; until [ -e go ]; do sleep 0.1; done; {dd(109)}"
    thread = threading.Thread(target=lambda: results.append(recorded(runs, "alice", "second", f"cd; {script}")))
    thread.start()
    until(runs.path("/home/alice/begun").exists)
    going = [each for each in listed(runs, "alice") if each["state"] == "being written"]
    assert len(going) == 1
    assert [each for each in listed(runs, "bob") if each["state"] == "being written"] == []
    refused = runs.product("datacrumbs_stop", going[0]["run"], user="bob")
    assert (refused.returncode, "no such run of yours" in refused.stderr) == (3, True)
    runs.done("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", SERVICE)
    until(lambda: any(each["state"] == "being written" for each in listed(runs, "alice")))
    subprocess.run(["touch", runs.path("/home/alice/go")], check=True)
    thread.join(BOUND)
    (done,) = results
    assert (done.returncode, "every call accounted for" in done.stderr) == (0, True), done.stderr
    assert writes(runs, "alice", "second") == 210
    assert list(runs.path("/run/datacrumbs/runs").iterdir()) == []


def test_the_service_is_confined(runs):
    listed(runs, "alice")
    pid = runs.show(SERVICE, "MainPID")
    status = dict(line.split(":\t") for line in runs.path(f"/proc/{pid}/status").read_text().splitlines())
    assert int(status["CapBnd"], 16) == 1 << 2  # CAP_DAC_READ_SEARCH
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
