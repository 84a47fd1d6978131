"""Runs on many nodes over a real ssh: all well, nodes that are down, refuse or do not answer, and Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import read_lines

from ..json_forms import read_json  # noqa: TID252 - a helper of all tests
from ..waiting import until  # noqa: TID252 - a helper of all tests
from .box import COMMANDS, started
from .ssh_nodes import SshNodes

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES = ("node1", "node2", "node3")
OTHERS = NODES[1:]
LIST = "node[1-3]"
COUNTS = {"node1": 101, "node2": 103, "node3": 107}
BOUND = 120.0


@pytest.fixture(scope="module")
def nodes() -> Iterator[SshNodes]:
    with started(lambda: SshNodes(NODES), "systemd-nspawn", "sshd") as made:
        yield made


SLURMD = """
[Service]
ExecStart=sleep infinity
ExecReload=touch /root/reloaded
"""


@pytest.fixture(scope="module")
def before(nodes: SshNodes) -> dict[str, set[str]]:
    """What is on the nodes that are to be set up, which have the directories and a service of a scheduler's."""
    for name in OTHERS:
        node = nodes.nodes[name]
        node.done("mkdir", "-p", "/etc/slurm/epilog.d", "/etc/flux/system/prolog.d")
        node.path("/etc/slurm/slurm.conf").write_text("Prolog=/etc/slurm/prolog.d/*\nEpilog=/etc/slurm/epilog.d/*\n")
        node.path("/etc/systemd/system/slurmd.service").write_text(SLURMD)
        node.done("systemctl", "daemon-reload")
    nodes.nodes["node2"].done("systemctl", "start", "slurmd")
    return {name: nodes.nodes[name].files() for name in OTHERS}


@pytest.fixture(scope="module")
def set_up(nodes: SshNodes, before: dict[str, set[str]]) -> subprocess.CompletedProcess[str]:
    """How the nodes beside the first one were set up: by one command, which has done nothing in a dry run."""
    (key,) = nodes.first.path("/etc/datacrumbs/trust").glob("*.pem")
    key_of_first = f"/etc/datacrumbs/trust/{key.name}"
    dry = cluster_setup(nodes, "--trust-key", key_of_first, "--dry-run")
    assert dry.returncode == 0, dry
    for name in OTHERS:
        assert f"{name}:\n  made     /etc/datacrumbs\n" in dry.stdout
    assert dry.stdout.count("reloaded slurmd.service") == 1
    assert {name: nodes.nodes[name].files() for name in OTHERS} == before
    return cluster_setup(nodes, "--trust-key", key_of_first)


@pytest.fixture(scope="module")
def probes(nodes: SshNodes, set_up: subprocess.CompletedProcess[str]) -> str:
    """A probe file of alice on all nodes, which trust its signer and have its program compiled."""
    assert set_up.returncode == 0, set_up
    path = nodes.first.probes("alice")
    nodes.everywhere(path)
    nodes.first.done_product("datacrumbs_service_wrapper", "start", "compiled", "alice", path)
    nodes.first.done_product("datacrumbs_service_wrapper", "stop", "compiled")
    nodes.everywhere("/var/lib/datacrumbs/programs")
    return path


def cluster_setup(nodes: SshNodes, *more: str) -> subprocess.CompletedProcess[str]:
    return nodes.first.product("datacrumbs_cluster_setup", "--node-list", "node[2-3]", "--stage", "all", *more)


def run(nodes: SshNodes, probes: str, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    return nodes.first.product("datacrumbs_run", *words(probes, name), *more)


def words(probes: str, name: str) -> tuple[str, ...]:
    return ("--node-list", LIST, "--probe-file", probes, "--run-id", name, "--user", "alice")


def stop(nodes: SshNodes, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    return nodes.first.product("datacrumbs_stop", "--node-list", LIST, "--run-id", name, *more)


def states(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Node -> its state; what else is said is a message."""
    lines = [line.split("  ") for line in result.stdout.splitlines()]
    return {words[0]: words[1].strip() for words in lines}


def running(nodes: SshNodes, name: str) -> set[str]:
    """Nodes on which anything of a run is left that goes on."""
    left = ("run/datacrumbs/datacrumbs-{}.lock", "run/datacrumbs/datacrumbs-{}.ready", "run/datacrumbs/jobs/plain-{}")
    return {node for node, box in nodes.nodes.items() for each in left if box.path("/" + each.format(name)).exists()}


def writes(nodes: SshNodes, name: str) -> dict[str, list[int]]:
    """Node -> how many blocks each dd wrote, by its own trace; all machines have one kernel here, and one alice."""
    found = {}
    for node, box in nodes.nodes.items():
        lines = read_lines(box.trace("alice", name))
        assert lines.footer
        calls = Counter(call["pid"] for call in lines.named("write") if call["args"]["ret"] == 7)
        found[node] = sorted(calls.values())
    return found


def test_nodes_are_set_up(nodes: SshNodes, set_up: subprocess.CompletedProcess[str]) -> None:
    assert (set_up.returncode, states(set_up)) == (0, dict.fromkeys(OTHERS, "done")), set_up
    assert "has no TaskProlog=/etc/datacrumbs/slurm/task_prolog" in set_up.stdout
    for name, runs in (("node2", True), ("node3", False)):
        node = nodes.nodes[name]
        for scheduler in ("slurm", "flux/system"):
            for hook in ("prolog", "epilog"):
                node.done(f"/etc/{scheduler}/{hook}.d/datacrumbs")  # of a job that asks for nothing
        node.done("test", "-r", "/etc/flux/cli/plugins/datacrumbs.py")
        assert node.path("/root/reloaded").exists() == runs
        assert node.show("datacrumbs@x.service", "LoadState") == "loaded"
    again = cluster_setup(nodes)
    assert again.returncode == 0
    assert "made" not in again.stdout
    assert "reloaded" not in again.stdout


def test_a_run_on_all_nodes(nodes: SshNodes, probes: str) -> None:
    started = run(nodes, probes, "well")
    assert (started.returncode, states(started)) == (0, dict.fromkeys(NODES, "ready")), started
    for node, count in COUNTS.items():
        nodes.nodes[node].wrap("alice", "dd", "if=/dev/zero", "of=/dev/null", "bs=7", f"count={count}", "status=none")
        assert f"/alice-well-{node}" in started.stdout or f"well-{node}.pfw.gz" in started.stdout
    ended = stop(nodes, "well", "--json")
    assert ended.returncode == 0, ended
    assert {row["node"]: row["state"] for row in read_json("run", ended.stdout)} == dict.fromkeys(NODES, "complete")
    assert writes(nodes, "well") == dict.fromkeys(NODES, sorted(COUNTS.values()))
    assert running(nodes, "well") == set()
    again = stop(nodes, "well")
    assert (again.returncode, states(again)) == (1, dict.fromkeys(NODES, "none")), again


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("start", "../x", "alice", "{probes}"), "run id: '../x' may contain only letters"),
        (("start", "x", "carol", "{probes}"), "'carol': no such user on this host"),
        (("start", "x", "alice", "probes.json.gz"), "'probes.json.gz' is not an absolute path"),
        (("start", "x", "alice", "{probes}\nUSER=root"), "control characters"),
        (("start", "x", "bob", "{probes}"), "granted to alice"),
        (("start", "x", "root", "{probes}"), "granted to alice"),
        (("start", "x", "alice", "/etc/hostname"), "not a probe file"),
        (("start", "x", "alice"), "expected start JOB USER PROBES"),
    ],
)
def test_root_on_a_node_believes_nothing(nodes: SshNodes, probes: str, words: tuple[str, ...], reason: str) -> None:
    refused = nodes.first.product("datacrumbs_service_wrapper", *(word.format(probes=probes) for word in words))
    assert refused.returncode in {1, 2}
    assert reason in refused.stderr
    assert running(nodes, "x") == set()


def test_a_node_that_is_down(nodes: SshNodes, probes: str) -> None:
    nodes.refuse("node3")
    try:
        started = run(nodes, probes, "down")
        assert (started.returncode, states(started)) == (
            1,
            {"node1": "ended", "node2": "ended", "node3": "unreachable"},
        ), started
        assert "Connection refused" in started.stdout
        assert running(nodes, "down") == set()
        kept = run(nodes, probes, "kept", "--keep-going")
        assert (kept.returncode, states(kept)) == (1, {"node1": "ready", "node2": "ready", "node3": "unreachable"}), (
            kept
        )
        assert running(nodes, "kept") == {"node1", "node2"}
        ended = stop(nodes, "kept")
        assert (ended.returncode, states(ended)) == (
            1,
            {"node1": "complete", "node2": "complete", "node3": "unreachable"},
        ), ended
    finally:
        nodes.serve("node3")


def test_a_node_that_refuses(nodes: SshNodes, probes: str) -> None:
    """One does not trust the signer, and on another the run goes on already: that one is left alone."""
    third = nodes.nodes["node3"]
    third.done("mv", "/etc/datacrumbs/trust", "/etc/datacrumbs/trust.away")
    third.done("mkdir", "/etc/datacrumbs/trust")
    try:
        nodes.nodes["node2"].done_product("datacrumbs_service_wrapper", "start", "refused", "alice", probes)
        started = run(nodes, probes, "refused")
        assert started.returncode == 1
        assert states(started) == {"node1": "ended", "node2": "failed", "node3": "failed"}, started
        assert "run refused goes on here already" in started.stdout
        assert "signed by a key that is not trusted" in started.stdout or "trust" in started.stdout
        assert running(nodes, "refused") == {"node2"}
    finally:
        third.done("rmdir", "/etc/datacrumbs/trust")
        third.done("mv", "/etc/datacrumbs/trust.away", "/etc/datacrumbs/trust")
    assert stop(nodes, "refused").returncode == 0


@pytest.fixture
def slow(nodes: SshNodes) -> str:
    """A directory of commands, of which the one on the third node does not come to its end."""
    directory = "/opt/tests-slow"
    for name, box in nodes.nodes.items():
        box.path(directory).mkdir(exist_ok=True)
        command = box.path(f"{directory}/datacrumbs_service_wrapper")
        real = COMMANDS / "datacrumbs_service_wrapper"
        waits = 'case " $* " in *" start "*) exec sleep 1000 ;; esac\n' if name == "node3" else ""
        command.write_text(f'#!/bin/sh\n{waits}exec {real} "$@"\n')
        command.chmod(0o755)
    return directory


def test_a_node_that_does_not_answer(nodes: SshNodes, probes: str, slow: str) -> None:
    started = run(nodes, probes, "silent", "--programs", slow, "--timeout", "5", "--json")
    found = {row["node"]: row["state"] for row in json.loads(started.stdout)}
    assert (started.returncode, found.pop("node3")) == (1, "no answer"), started
    assert set(found.values()) <= {"ended", "failed"}, started  # failed: a machine that has no 5 s for it
    assert running(nodes, "silent") == set()


def descendants(pid: int) -> list[int]:
    found = []
    for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(text), *descendants(int(text))]
    return found


def test_an_interrupted_start_is_ended_everywhere(nodes: SshNodes, probes: str, slow: str) -> None:
    inside = ["nsenter", "--target", str(nodes.first.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
    line = [*inside, "--", COMMANDS / "datacrumbs_run", *words(probes, "interrupted"), "--programs", slow]
    starting = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    ready = "/run/datacrumbs/datacrumbs-interrupted.ready"
    begun = [nodes.nodes[name].path(ready) for name in ("node1", "node2")]
    until(lambda: all(each.exists() for each in begun) or starting.poll() is not None)
    for pid in descendants(
        starting.pid
    ):  # ssh gets it too, as from a terminal; what enters the machine passes nothing on
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    output, messages = starting.communicate(timeout=BOUND)
    assert starting.returncode == 130, messages
    found = states(subprocess.CompletedProcess(line, 130, output))
    assert found.pop("node3") in {"interrupted", "unreachable"}
    assert found == {"node1": "ended", "node2": "ended"}, output + messages
    assert running(nodes, "interrupted") == set()


@pytest.fixture
def rule(nodes: SshNodes) -> Iterator[None]:
    """On each node alice may log in by a key of her own, and be root for one command without a password."""
    if shutil.which("sudo") is None:
        pytest.skip("sudo is not installed")
    line = f"alice ALL=(root) NOPASSWD: {COMMANDS}/datacrumbs_service_wrapper\n"
    for box in nodes.nodes.values():
        box.path("/etc/sudoers.d/tests").write_text(line)
        box.done("chmod", "440", "/etc/sudoers.d/tests")
        box.done("usermod", "--password", "*", "alice")  # sshd lets in no locked account
    nodes.first.done("install", "-d", "-o", "alice", "-m", "700", "/home/alice/.ssh")
    nodes.first.done("install", "-o", "alice", "-m", "600", "/etc/ssh/tests_client", "/home/alice/.ssh/key")
    nodes.first.path("/home/alice/.ssh/config").write_text("IdentityFile ~/.ssh/key\n")
    yield
    for box in nodes.nodes.values():
        box.done("rm", "-r", "/etc/sudoers.d/tests", "/run/sudo/ts")


@pytest.mark.usefixtures("rule")
def test_a_user_whom_the_site_lets_be_root_for_this(nodes: SshNodes, probes: str) -> None:
    """A login as that user, with `sudo -n` there; without it the node refuses, and for root's own work so does sudo."""
    own = ("--node-list", LIST, "--run-id", "ours")
    refused = nodes.first.product("datacrumbs_run", *own, "--probe-file", probes, user="alice")
    assert (refused.returncode, states(refused)) == (1, dict.fromkeys(NODES, "failed")), refused
    started = nodes.first.product("datacrumbs_run", *own, "--probe-file", probes, "--sudo", user="alice")
    assert (started.returncode, states(started)) == (0, dict.fromkeys(NODES, "ready")), started
    for node, count in COUNTS.items():
        nodes.nodes[node].wrap("alice", "dd", "if=/dev/zero", "of=/dev/null", "bs=7", f"count={count}", "status=none")
    ended = nodes.first.product("datacrumbs_stop", *own, "--sudo", user="alice")
    assert (ended.returncode, states(ended)) == (0, dict.fromkeys(NODES, "complete")), ended
    assert writes(nodes, "ours") == dict.fromkeys(NODES, sorted(COUNTS.values()))
    not_allowed = ("datacrumbs_cluster_setup", "--node-list", LIST, "--stage", "all", "--sudo", "--dry-run")
    beyond = nodes.first.product(*not_allowed, user="alice")
    assert (beyond.returncode, states(beyond)) == (1, dict.fromkeys(NODES, "failed")), beyond


def test_a_set_up_that_is_taken_back_leaves_nothing(nodes: SshNodes, probes: str, before: dict[str, set[str]]) -> None:
    """But traces; and one that is down is named, and taken back when it answers again."""
    refused = nodes.first.product("datacrumbs_cluster_setup", "--node-list", "node1", "--stage", "all", "--unsetup")
    assert refused.returncode == 1
    assert "this host signs probe files" in refused.stdout
    nodes.nodes["node2"].path("/root/reloaded").unlink()
    nodes.refuse("node3")
    taken = cluster_setup(nodes, "--unsetup")
    assert (taken.returncode, states(taken)) == (1, {"node2": "done", "node3": "unreachable"}), taken
    nodes.serve("node3")
    assert states(cluster_setup(nodes, "--unsetup")) == dict.fromkeys(OTHERS, "done")
    assert nodes.nodes["node2"].path("/root/reloaded").exists()
    for name in OTHERS:
        after = nodes.nodes[name].files()
        left = {path for path in after - before[name] if not "/var/log/datacrumbs/".startswith(f"{path}/")}
        assert {path for path in left if not path.startswith(("/var/log/datacrumbs/alice", "/run/sshd"))} == set()
        assert before[name] - after == set()
