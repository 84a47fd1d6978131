"""Login nodes and a compute node as machines of their own, and what an uninstallation leaves on them."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from datacrumbs.testing import read_lines

from .conftest import SITE, Machine

SOCKET, SERVICE = "datacrumbs_sign_probes.socket", "datacrumbs_sign_probes.service"


@pytest.fixture
def host():
    with ExitStack() as made:

        def boot(name):
            box = Machine(name)
            made.callback(box.stop)
            box.start()
            box.done("useradd", "--create-home", "alice")
            return box

        yield boot


def test_only_the_public_key_travels(host, tmp_path):
    login = host("login")
    before = login.files()
    login.done_product("datacrumbs_setup", "--stage", "login")
    login.done("systemctl", "daemon-reload")
    login.done("systemctl", "enable", "--now", SOCKET, SERVICE)
    probes = login.probes("alice", SITE)
    (key,) = login.path("/etc/datacrumbs/trust").glob("*.pem")
    travelling = {"probes.json.gz": login.path(probes).read_bytes(), key.name: key.read_bytes()}
    private = login.path("/etc/datacrumbs/keys/signing.key").read_bytes()
    assert not login.path("/etc/systemd/system/datacrumbs@.service").exists()
    login.done("systemctl", "disable", "--now", SOCKET, SERVICE)
    login.done_product("datacrumbs_setup", "--uninstall")
    login.done("systemctl", "daemon-reload")
    assert login.files() - before == set()
    assert before - login.files() == set()
    login.stop()

    compute = host("compute")
    before = compute.files()
    for name, content in travelling.items():
        compute.path(f"/home/alice/{name}").write_bytes(content)
    compute.done_product("datacrumbs_setup", "--stage", "compute", "--trust-key", f"/home/alice/{key.name}")
    compute.done("systemctl", "daemon-reload")
    assert not compute.path("/etc/datacrumbs/keys").exists()
    assert not compute.path(f"/etc/systemd/system/{SERVICE}").exists()
    assert (
        compute.run("grep", "--recursive", "--fixed-strings", "--", private.splitlines()[1].decode(), "/etc").stdout
        == ""
    )
    compute.environment("1", "PROBE_FILE=/home/alice/probes.json.gz\nUSER=alice\n")
    compute.done("systemctl", "start", "datacrumbs@1")
    compute.wrap("alice", "dd", "if=/dev/zero", "of=/dev/null", "bs=1k", "count=43", "status=none")
    compute.done("systemctl", "stop", "datacrumbs@1")
    trace = compute.trace("alice", "1")
    assert read_lines(trace).tally()["write"] == 43
    assert not compute.path("/run/datacrumbs/datacrumbs-1.env").exists()
    inside = Path("/", *trace.parts[4:])
    compute.done_product("datacrumbs_setup", "--uninstall")
    compute.done("systemctl", "daemon-reload")
    # Traces are the users', and so are the directories that lead to them.
    assert compute.files() - before == {str(path) for path in (inside, *inside.parents[:-1])} - before
    assert before - compute.files() == set()


def test_a_login_node_without_a_key_asks_the_signing_host(host):
    login, other = host("login"), host("other")
    munge_key = os.urandom(128)
    where = f"127.{1 + os.getpid() % 250}.{os.getpid() // 250 % 250}.1:7411"
    for box in (login, other):
        box.start_munge(munge_key)
    login.done_product("datacrumbs_setup", "--stage", "login")
    drop_in = login.path("/etc/systemd/system/datacrumbs_sign_remote.socket.d")
    drop_in.mkdir()
    (drop_in / "address.conf").write_text(f"[Socket]\nListenStream=\nListenStream={where}\n")
    login.done("systemctl", "daemon-reload")
    login.done("systemctl", "enable", "--now", "datacrumbs_sign_remote.socket")
    (key,) = login.path("/etc/datacrumbs/trust").glob("*.pem")
    other.path("/etc/site.pem").write_bytes(key.read_bytes())
    other.done_product("datacrumbs_setup", "--stage", "relay", "--trust-key", "/etc/site.pem")
    other.path("/etc/datacrumbs/datacrumbs.yaml").write_text(f"signing_host: {where}\n")
    other.done("systemctl", "daemon-reload")
    other.done("systemctl", "enable", "--now", "datacrumbs_sign_relay.socket")

    other.path("/home/alice/site.yaml").write_text(SITE)
    ask = ("datacrumbs_probe_configurator", "/home/alice/site.yaml", "/home/alice/p.json.gz")
    refused = other.product(*ask, user="alice")
    assert refused.returncode == 3
    assert "policy: 127.0.0.1 is not among remote_hosts" in refused.stderr

    policy = login.path("/etc/datacrumbs/policy.yaml")
    policy.write_text(policy.read_text().replace("remote_hosts: []", "remote_hosts: [127.0.0.1]"))
    other.done_product(*ask, user="alice")
    shown = other.done_product("datacrumbs_probe_configurator", "--show", "/home/alice/p.json.gz", "--json")
    assert json.loads(shown)["grant"]["user"] == "alice"
    doctor = json.loads(other.product("datacrumbs_doctor", "--json").stdout)
    checks = {each["name"]: each for each in doctor["checks"]}
    assert checks["signing service"]["state"] == "ok"
    assert not other.path("/etc/datacrumbs/keys").exists()
    for box, unit in ((login, SERVICE), (other, "datacrumbs_sign_relay.service")):
        assert '"decision": "signed", "code": "", "uid": ' in box.journal(unit)
