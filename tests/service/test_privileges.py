"""What real users try against root's parts: the socket, the daemon's unit, and the directories between."""

from __future__ import annotations

import gzip
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datacrumbs.probefile.codec import encode
from datacrumbs.probefile.envelope import key_id, open_envelope, read_payload, seal
from datacrumbs.probefile.keys import key_file_name, public_key_pem
from datacrumbs.signer.private_key import load_private_key
from datacrumbs.testing import read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests

DD = ("dd", "if=/dev/zero", "of=/dev/null", "bs=1k", "status=none")
CONFIGURE = "datacrumbs_probe_configurator"


def refused(machine, run, probes, user="bob"):
    """The reason why a run does not start."""
    machine.environment(run, f"PROBE_FILE={probes}\nUSER={user}\n")
    assert machine.systemctl("start", f"datacrumbs@{run}").returncode == 1
    reason = machine.log(run)
    machine.path(f"/run/datacrumbs/datacrumbs-{run}.log").unlink()
    return reason


def python(machine, user, code, *arguments):
    """Run Python as a user; gives what it printed."""
    return machine.done("runuser", "-u", user, "--", sys.executable, "-c", code, *arguments).strip()


class TestProbeFiles:
    @pytest.fixture
    def signed(self, machine, bobs):
        data = machine.path(bobs).read_bytes()
        return read_payload(open_envelope(data, "probes"), "probes")

    def place(self, machine, data):
        machine.path("/home/bob/crafted.json.gz").write_bytes(data)
        return "/home/bob/crafted.json.gz"

    def test_forged_with_an_own_key(self, machine, signed):
        own = Ed25519PrivateKey.generate()
        data = seal(encode(signed.plan), signed.grant, own)
        assert "which is not trusted here" in refused(machine, "forged", self.place(machine, data))

    def test_forged_with_an_own_key_that_says_it_is_the_hosts(self, machine, signed):
        own = Ed25519PrivateKey.generate()
        envelope = json.loads(gzip.decompress(seal(encode(signed.plan), signed.grant, own)))
        envelope["signatures"][0]["keyid"] = signed.key_id
        data = gzip.compress(json.dumps(envelope, separators=(",", ":")).encode())
        assert "the signature does not match" in refused(machine, "claimed", self.place(machine, data))

    def test_an_own_key_does_not_get_into_the_trust_directory(self, machine):
        own = Ed25519PrivateKey.generate()
        machine.path("/home/bob/own.pem").write_bytes(public_key_pem(own.public_key()))
        for command in (
            ("cp", "/home/bob/own.pem", f"/etc/datacrumbs/trust/{key_file_name(own.public_key())}"),
            ("ln", "-s", "/home/bob", "/etc/datacrumbs/trust/more"),
            ("rm", "-f", "/etc/datacrumbs/trust/revoked.yaml", "/run/datacrumbs/sign.sock"),
            ("cat", "/etc/datacrumbs/keys/signing.key"),
        ):
            result = machine.run("runuser", "-u", "bob", "--", *command)
            assert result.returncode != 0 or command[0] == "rm", command
        assert machine.path("/run/datacrumbs/sign.sock").exists()
        done = machine.product("datacrumbs_trust", "add", "--key", "/home/bob/own.pem", user="bob")
        assert done.returncode != 0

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"issued": 1, "expires": 2}, "expired at 1970-01-01 00:00:02 UTC"),
            ({"issued": 4_000_000_000, "expires": 4_000_000_001}, "not valid before"),
            ({"uid": 0, "user": "root"}, "granted to root (uid 0), not to uid"),
        ],
    )
    def test_grants_of_another_time_or_user(self, machine, signed, change, reason):
        # As the host's own signer would have signed it.
        key = load_private_key(machine.path("/etc/datacrumbs/keys/signing.key"))
        assert key_id(key.public_key()) == signed.key_id
        data = seal(encode(signed.plan), replace(signed.grant, **change), key)
        assert reason in refused(machine, "othertime", self.place(machine, data))

    def test_a_grant_replayed_by_another_user(self, machine, alices):
        machine.done("install", "-o", "bob", alices, "/home/bob/replayed.json.gz")
        assert "granted to alice" in refused(machine, "replayed", "/home/bob/replayed.json.gz")

    def test_a_grant_replayed_after_it_was_revoked(self, machine, bobs):
        machine.done_product("datacrumbs_trust", "revoke", "--user", "bob")
        try:
            assert "of that time were revoked" in refused(machine, "revoked", bobs)
        finally:
            machine.done_product("datacrumbs_trust", "restore", "--user", "bob")

    @pytest.mark.parametrize("kind", ["link", "fifo", "directory", "shadow"])
    def test_what_is_no_file_of_bobs(self, machine, kind):
        command = {
            "link": ("ln", "-s", "/etc/shadow"),
            "fifo": ("mkfifo",),
            "directory": ("mkdir",),
            "shadow": ("touch",),
        }[kind]
        path = f"/home/bob/odd-{kind}"
        machine.done("runuser", "-u", "bob", "--", *command, path)
        reason = refused(machine, kind, "/etc/shadow" if kind == "shadow" else path)
        assert ("link" in reason) or ("not a regular file" in reason) or (": Permission denied" in reason)
        assert "root:" not in reason


@pytest.mark.usefixtures("bobs")
class TestTheSocket:
    @pytest.mark.parametrize("name", ["a\nb", "q'\"", "$(touch pwned)", "..b", "n" * 240, "-rf", "%s%n", "`id`"])
    def test_the_users_file_names_are_only_names(self, machine, name):
        machine.done_product(CONFIGURE, "/home/bob/site.yaml", f"/home/bob/{name}", user="bob")
        assert machine.path(f"/home/bob/{name}").read_bytes()
        assert not machine.path("/pwned").exists()
        assert not machine.path("/home/bob/pwned").exists()

    def test_a_name_of_4096_bytes_ends_in_words(self, machine):
        done = machine.product(CONFIGURE, "/home/bob/site.yaml", "/home/bob/" + "n" * 4096, user="bob")
        assert done.returncode == 1
        assert "File name too long" in done.stderr
        assert "Traceback" not in done.stderr

    # Root in a namespace of one's own is still who one was.
    def test_root_of_an_own_user_namespace_is_who_made_it(self, machine):
        output = "/home/bob/from-namespace.json.gz"
        machine.done(
            *("runuser", "-u", "bob", "--", "unshare", "--user", "--map-root-user"),
            *(Path(sys.executable).parent / CONFIGURE, "/home/bob/site.yaml", output),
        )
        grant = read_payload(open_envelope(machine.path(output).read_bytes(), "p"), "p").grant
        assert grant.user == "bob"

    # The kernel keeps who connected; what the process becomes later, or which id it gives back, changes nothing.
    def test_a_connection_handed_on_is_still_who_made_it(self, machine):
        code = (
            "import os, socket, sys\n"
            "s = socket.socket(socket.AF_UNIX); s.connect('/run/datacrumbs/sign.sock')\n"
            'body = b\'{"version":1,"request":"sign","plan":{}}\'\n'
            "parent = os.getpid()\n"
            "if os.fork():\n"
            "    os._exit(0)\n"  # who connected is gone, its number free for others
            "while os.getppid() == parent:\n"
            "    os.sched_yield()\n"
            "s.sendall(len(body).to_bytes(4, 'big') + body); s.recv(65536)\n"
        )
        python(machine, "bob", code)

        def refused():
            return [line for line in machine.journal("datacrumbs_sign_probes.service").splitlines() if "schema" in line]

        lines = until(refused)
        last = json.loads(lines[-1].partition(": ")[2])
        assert (last["user"], last["code"]) == ("bob", "plan.schema")

    @pytest.mark.parametrize("path", ["/proc/self/exe", "/proc/1/root{}", "/proc/self/root{}", "/proc/self/fd/3"])
    def test_a_target_by_way_of_proc_is_refused(self, machine, path):
        library = str(Path("/lib/x86_64-linux-gnu/libc.so.6").resolve())
        code = (
            "import sys\n"
            "from pathlib import Path\n"
            "from datacrumbs.elf.build_id import file_build_id\n"
            "from datacrumbs.model.plan import *\n"
            "from datacrumbs.signer.signing_client import request_signature\n"
            "from datacrumbs.system import SystemPaths\n"
            "from datacrumbs.errors import DatacrumbsError\n"
            "target = Target(sys.argv[1], file_build_id(Path(sys.argv[2])))\n"
            "group = Group('posix', 'libc', Attach.UPROBE, target, (Function('f', 'f', 'POSIX', offset=64),))\n"
            "plan = Plan((Provenance('posix', 'datacrumbs-posix', '0.1.0', 'libc', 40),), (group,))\n"
            "try: request_signature(plan, SystemPaths()); print('signed')\n"
            "except DatacrumbsError as error: print(getattr(error, 'code', ''), error.message)\n"
        )
        said = python(machine, "bob", code, path.format(library), library)
        assert said.startswith("target.changed"), said

    def test_the_process_that_reads_bobs_files_is_not_bobs_to_stop(self, machine):
        # Bob kills and traces all that he may, while his requests are looked at.
        code = (
            "import os, signal, sys, threading, subprocess, time\n"
            "own = {os.getpid(), os.getppid()}\n"
            "hits, end = 0, time.monotonic() + 300\n"
            "ask = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
            "while ask.poll() is None and time.monotonic() < end:\n"
            "    for pid in map(int, filter(str.isdigit, os.listdir('/proc'))):\n"
            "        if pid in own or pid == ask.pid: continue\n"
            "        try:\n"
            "            if b'datacrumbs_sign_probes' not in open(f'/proc/{pid}/cmdline', 'rb').read(): continue\n"
            "            parent = open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1]\n"
            "            if b'datacrumbs_sign_probes' not in open(f'/proc/{parent}/cmdline', 'rb').read(): continue\n"
            "            hits += 1\n"
            "            os.kill(pid, signal.SIGKILL); print('killed')\n"
            "        except OSError: pass\n"
            "        try: open(f'/proc/{pid}/mem', 'rb'); print('read')\n"
            "        except OSError: pass\n"
            "print(ask.wait(), hits > 0)\n"
        )
        site = "capture_probes:\n  - provider: posix\n    preset: all\n"
        machine.path("/home/bob/site-posix.yaml").write_text(site)
        command = [str(Path(sys.executable).parent / CONFIGURE), "/home/bob/site-posix.yaml", "/home/bob/posix.json.gz"]
        assert python(machine, "bob", code, *command) == "0 True"


class TestTheTrace:
    def test_who_sees_whom(self, machine, alices):
        machine.environment("mine", f"PROBE_FILE={alices}\nUSER=alice\n")
        machine.done("systemctl", "start", "datacrumbs@mine")
        ready = "/run/datacrumbs/datacrumbs-mine.ready"
        assert machine.run("runuser", "-u", "alice", "--", "test", "-r", ready).returncode == 0
        assert machine.run("runuser", "-u", "bob", "--", "test", "-r", ready).returncode != 0
        for file in (ready, "/run/datacrumbs/datacrumbs-mine.log"):
            assert machine.run("runuser", "-u", "alice", "--", "test", "-r", file).returncode == 0
            assert machine.run("runuser", "-u", "alice", "--", "test", "-w", file).returncode != 0
            assert machine.run("runuser", "-u", "alice", "--", "chmod", "u+w", file).returncode != 0
            assert machine.path(file).stat().st_uid == 0
        for directory in ("/run/datacrumbs", "/var/log/datacrumbs", "/var/lib/datacrumbs"):
            assert machine.run("runuser", "-u", "bob", "--", "ls", directory).returncode != 0
        wrap = str(Path(sys.executable).parent / "datacrumbs_wrap")
        machine.wrap("alice", *DD, "count=47")
        machine.wrap("bob", *DD, "count=1")
        # As root of an own namespace: bob is not alice, and alice is still alice.
        namespace = ("unshare", "--user", "--map-root-user", wrap)
        machine.done("runuser", "-u", "bob", "--", *namespace, *DD, "count=1")
        machine.done("runuser", "-u", "alice", "--", *namespace, *DD, "count=53")
        machine.done("systemctl", "stop", "datacrumbs@mine")
        trace = machine.trace("alice", "mine")
        assert read_lines(trace).tally()["write"] == 47 + 53
        (inside,) = machine.done("find", "/var/log/datacrumbs", "-name", "*-mine-*").split()
        assert machine.run("runuser", "-u", "bob", "--", "test", "-r", inside).returncode != 0
        assert machine.run("runuser", "-u", "bob", "--", "ls", "/var/log/datacrumbs/alice").returncode != 0
        assert machine.run("runuser", "-u", "alice", "--", "test", "-r", inside).returncode == 0

    @pytest.mark.parametrize("made", ["link", "file"])
    def test_a_way_that_the_user_has_prepared(self, machine, alices, made):
        machine.probes("alice")  # the directory below is alice's from earlier runs, or made now
        day = time.strftime("%Y-%m-%d")
        machine.done("install", "-d", "-o", "alice", "-m", "700", "/var/log/datacrumbs/alice")
        machine.done("sh", "-c", f"mv /var/log/datacrumbs/alice/{day} /home/alice/kept-{made} 2>/dev/null || true")
        place = f"/var/log/datacrumbs/alice/{day}"
        command = ("ln", "-s", "/etc", place) if made == "link" else ("touch", place)
        machine.done("runuser", "-u", "alice", "--", *command)
        try:
            assert "is a link or not a directory" in refused(machine, f"way-{made}", alices, "alice")
            assert list(machine.path("/etc").glob("*.pfw.gz")) == []
        finally:
            machine.done("rm", place)
