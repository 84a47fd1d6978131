"""`datacrumbs_sign_probes.socket` and `.service` under a booted systemd."""

from __future__ import annotations

import json
import threading
import time

SERVICE = "datacrumbs_sign_probes.service"
BOUND = 300.0


def active(machine):
    return machine.systemctl("is-active", SERVICE).stdout.strip()


def decisions(machine):
    lines = machine.journal(SERVICE).splitlines()
    return [json.loads(line.partition(": ")[2]) for line in lines if line.startswith("datacrumbs.signer: {")]


# Whether the last decision on a user is this one: at most one line a second is written, others wait for it.
def is_last(machine, user, key, value):
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        if [decision[key] for decision in decisions(machine) if decision["user"] == user][-1:] == [value]:
            return True
        time.sleep(0.1)
    return False


def test_the_first_request_starts_the_service(machine):
    machine.done("systemctl", "stop", SERVICE)
    assert active(machine) == "inactive"
    machine.probes("bob")
    assert active(machine) == "active"
    assert is_last(machine, "bob", "decision", "signed")


def test_requests_wait_while_a_killed_service_starts_again(machine):
    machine.probes("alice")
    first = machine.show(SERVICE, "MainPID")
    results = []

    def ask():
        done = machine.product("datacrumbs_probe_configurator", "/home/bob/site.yaml", "/home/bob/again", user="bob")
        results.append((done.returncode, done.stderr))

    machine.done("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", SERVICE)
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(0, "")] * 3
    assert machine.show(SERVICE, "MainPID") not in {"0", first}
    assert int(machine.show(SERVICE, "NRestarts")) <= 1  # none when a request came before RestartSec was over


def test_a_wrong_policy_is_a_refusal_and_an_unreadable_key_ends_the_service(machine):
    policy = machine.path("/etc/datacrumbs/policy.yaml")
    shipped = policy.read_text()
    policy.write_text("rules: [{user: [a]}]")
    try:
        done = machine.product("datacrumbs_probe_configurator", "/home/bob/site.yaml", "/home/bob/x", user="bob")
        assert done.returncode == 3
        assert "unknown key" in done.stderr
        assert is_last(machine, "bob", "code", "service.configuration")
        machine.done("systemctl", "stop", SERVICE)
        assert machine.systemctl("start", SERVICE).returncode == 1
        assert machine.show(SERVICE, "SubState") == "failed"  # and not auto-restart
        assert machine.show(SERVICE, "NRestarts") == "0"
        assert "unknown key" in machine.journal(SERVICE)
    finally:
        policy.write_text(shipped)
        machine.systemctl("reset-failed", SERVICE)
        machine.done("systemctl", "restart", "datacrumbs_sign_probes.socket")
    machine.probes("bob")


def test_the_service_is_confined(machine):
    machine.probes("alice")
    pid = machine.show(SERVICE, "MainPID")
    status = dict(line.split(":\t", 1) for line in machine.path(f"/proc/{pid}/status").read_text().splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    granted = machine.done("capsh", f"--decode={status['CapBnd']}").strip().partition("=")[2].split(",")
    assert set(granted) == {"cap_dac_read_search", "cap_setgid", "cap_setuid"}
    for path in ("/etc/datacrumbs/x", "/run/datacrumbs/x", "/var/lib/x", "/var/x", "/home/bob/x"):
        done = machine.run("nsenter", "--target", pid, "--mount", "--", "touch", path)
        assert "Read-only file system" in done.stderr, path
    # Where the kernel's headers are, with which it compiles snippets: as all see it, and read as nobody.
    seen = machine.done("nsenter", "--target", pid, "--mount", "--setuid", "65534", "--", "ls", "/lib/modules")
    assert seen == machine.done("ls", "/lib/modules") != ""


def test_the_socket_goes_with_its_unit_and_every_user_may_use_it(machine):
    assert machine.done("stat", "--format=%U %a", "/run/datacrumbs/sign.sock") == "root 666\n"
    machine.done("systemctl", "stop", "datacrumbs_sign_probes.socket")
    assert not machine.path("/run/datacrumbs/sign.sock").exists()
    assert active(machine) == "inactive"
    done = machine.product("datacrumbs_probe_configurator", "/home/bob/site.yaml", "/home/bob/x", user="bob")
    assert done.returncode == 1
    assert "the signing service is not running" in done.stderr
    machine.done("systemctl", "start", "datacrumbs_sign_probes.socket")


def test_changes_of_trust_are_logged_with_who_made_them(machine):
    machine.done_product("datacrumbs_trust", "revoke", "--plan", "a" * 64)
    machine.done_product("datacrumbs_trust", "restore", "--plan", "a" * 64)
    machine.run("journalctl", "--sync")
    lines = machine.done("journalctl", "--no-pager", "--output=cat", "--identifier=datacrumbs_trust").splitlines()
    logged = [entry for entry in map(json.loads, lines) if entry["what"] == "a" * 64]
    assert [(entry["action"], entry["what"], entry["uid"]) for entry in logged] == [
        ("revoke plan", "a" * 64, 0),
        ("restore plan", "a" * 64, 0),
    ]
