"""The signing service under load by two users: a third one is served, and what the service takes stays in its limits.

``DATACRUMBS_SIGNING_CLIENTS`` of each kind and user (200) and ``DATACRUMBS_SIGNING_SECONDS`` (60) make it long; the
third user then asks once a second, and its times are printed, with ``pytest -s``. With ``DATACRUMBS_SIGNING_GROUPS`` (a
directory of the controller for processor time, of version 1) the service and each user are in groups of their own
there, as systemd has them on a login node.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from datacrumbs.install.units import SIGNING_UNIT, unit_text
from datacrumbs.model.plan import Function, Returns
from datacrumbs.probefile.codec import encode
from datacrumbs.serving.protocol import REPLY_LIMIT
from datacrumbs.serving.shares import Limits
from datacrumbs.signer import target_check
from datacrumbs.signer.places import probe_places
from datacrumbs.signer.signing_client import exchange, service_key_id
from datacrumbs.system import SystemPaths

from .test_service import ready_children

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")

CLIENTS = int(os.environ.get("DATACRUMBS_SIGNING_CLIENTS", "7"))
SECONDS = float(os.environ.get("DATACRUMBS_SIGNING_SECONDS", "0"))
GROUPS = os.environ.get("DATACRUMBS_SIGNING_GROUPS", "")
SERVICE, USER = "system/service", "user/{}"
REQUESTS = 3
KINDS = ("silent", "slow", "unread", "again", "tiny", "large")
ATTACKERS, THIRD = (1, 2), 3
NAMES = 40
MIB = 1 << 20
CROWD = Path(__file__).with_name("crowd.py")
ITSELF = 128 * MIB
"""What the service and its libraries take, without requests and replies."""
WAITS = 24 * MIB
"""What a child that waits for a request takes, and the one of it that waits for a file."""
COPIED = 32 * MIB
"""What a child copies of memory that it shares with its parent."""


def unit(name):
    text = unit_text(SIGNING_UNIT, SystemPaths(Path("/")))
    return re.search(rf"^{name}=(\S+)$", text, re.MULTILINE)[1]


MEMORY_MAX = int(unit("MemoryMax").removesuffix("G")) << 30


def test_the_limits_add_up_to_less_than_the_units():
    limits = Limits()
    check = limits.check.memory + target_check.LOOK.memory + 2 * COPIED
    waiting = limits.checks * WAITS
    assert ITSELF + limits.memory + limits.checks * check + waiting < MEMORY_MAX
    assert limits.memory_per_user * len(ATTACKERS) + max(limits.request_bytes, REPLY_LIMIT) <= limits.memory
    assert limits.connections + 4 * limits.checks + 100 < int(unit("LimitNOFILE"))
    assert limits.checks > len(ATTACKERS)
    assert unit("OOMPolicy") == "continue"


def request(plan):
    return b'{"version":1,"request":"sign","plan":%b}' % encode(plan)


# A reply of ten megabytes: names that do not get smaller.
def large_reply(installation):
    functions = "".join(f"int f{number}(void) {{ return {number}; }}\n" for number in range(NAMES))
    installation.build(functions)
    target, offsets = installation.target(), installation.offsets()
    found = tuple(
        Function(
            f"f{offset}", f"f{offset}", "POSIX", offset=offset, aliases=tuple(os.urandom(500).hex() for _ in range(250))
        )
        for offset in offsets[:NAMES]
    )
    return request(
        installation.plan(groups=(replace(installation.plan().groups[0], target=target, functions=found),), snippets=())
    )


# Many names of one large file.
def large_file(installation):
    path = installation.directory / "large"
    shutil.copyfile(Path(sys.executable).resolve(), path)
    with path.open("rb") as stream:
        offset = min(probe_places(stream).functions)
    groups = []
    for number in range(NAMES):
        name = installation.directory / f"large-{number}"
        name.hardlink_to(path)
        target = installation.target(name)
        group = installation.plan_of(target, offset).groups[0]
        entry = replace(group.functions[0], returns=Returns.NEVER)  # all of them may be probed, so all are looked at
        groups.append(replace(group, functions=(entry,)))
    return request(installation.plan(groups=tuple(groups), snippets=()))


@contextmanager
def groups():
    places = [Path(GROUPS, name) for name in (SERVICE, *map(USER.format, (*ATTACKERS, THIRD)))]
    for place in places:
        place.mkdir(parents=True)
    before = Path(GROUPS, "cgroup.procs")
    try:
        join(os.getpid(), USER.format(THIRD))
        yield
    finally:
        before.write_text(str(os.getpid()))
        for place in (*places, places[0].parent, places[1].parent):
            place.rmdir()


def join(pid, group):
    if GROUPS:
        Path(GROUPS, group, "cgroup.procs").write_text(str(pid))


@contextmanager
def crowds(installation, kinds):
    bodies = {}
    for kind, made in (("unread", large_reply), ("large", large_file)):
        if kind in kinds:
            bodies[kind] = installation.directory / f"{kind}.json"
            bodies[kind].write_bytes(made(installation))
    with ExitStack() as stack:
        running = []
        for uid in ATTACKERS:
            for kind in kinds:
                socket = str(installation.paths.signing_socket)
                command = [sys.executable, CROWD, str(uid), kind, socket, str(CLIENTS)]
                command += [str(bodies[kind])] if kind in bodies else []
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                stack.callback(_end, process)
                join(process.pid, USER.format(uid))
                running.append(process)
        for process in running:
            assert process.stdout.readline() == "ready\n"
        yield


def _end(process):
    process.stdin.close()
    process.stdout.close()
    process.wait(300)


class Memory(threading.Thread):
    """The most that a process and its descendants have taken, together and each."""

    def __init__(self, pid):
        super().__init__()
        self.pid = pid
        self.together = 0
        self.own = 0
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(0.02):
            taken = [self._taken(pid) for pid in self._all(self.pid)]
            self.together = max(self.together, sum(resident for resident, _ in taken))
            self.own = max(self.own, taken[0][1] if taken else 0)

    def _all(self, pid):
        with suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return [pid] + [each for child in children for each in self._all(int(child))]
        return []

    # Resident now, what is shared with the parent counted once more; and the most that it ever was.
    def _taken(self, pid):
        with suppress(OSError, TypeError):
            text = Path(f"/proc/{pid}/status").read_text()
            resident, most = (int(re.search(rf"{name}:\s*(\d+)", text)[1]) << 10 for name in ("VmRSS", "VmHWM"))
            return resident, most
        return 0, 0


def decision_of(line):
    return json.loads(line.partition(": ")[2])


def ask(installation, body):
    os.seteuid(THIRD)
    try:
        started = time.monotonic()
        reply = exchange(installation.paths, body)  # once: no second try
        return reply.get("status"), time.monotonic() - started
    finally:
        os.seteuid(0)


def test_children_that_wait_take_little_memory(installation):
    def own(pid):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        taken = sum(int(size) << 10 for size in re.findall(r"^Private_Dirty:\s*(\d+)", text, re.MULTILINE))
        return taken + sum(own(int(child)) for child in children)

    with installation.service() as process:
        waiting = ready_children(process, Limits().checks)
        service_key_id(installation.paths)  # by now they have warmed up
        ready_children(process, Limits().checks)
        for pid in waiting:
            with suppress(FileNotFoundError):  # of the one that has answered
                assert own(pid) < WAITS


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids=[*KINDS, "all"])
def test_a_third_user_is_served_while_two_do_what_they_can(installation, kinds):
    third = installation.directory / "libthird.so"
    shutil.copyfile(installation.library, third)
    body = request(installation.plan_of(installation.target(third)))
    began = time.monotonic()
    with groups() if GROUPS else nullcontext(), installation.service() as process:
        join(process.pid, SERVICE)
        memory = Memory(process.pid)
        alone = sorted(ask(installation, body)[1] for _ in range(REQUESTS))
        with crowds(installation, kinds):
            memory.start()
            started = time.monotonic()
            answers = []
            while len(answers) < REQUESTS or time.monotonic() - started < SECONDS:
                time.sleep(min(SECONDS, 1.0))  # in a long run it asks as users do, not one after the other
                answers.append(ask(installation, body))
            elapsed = time.monotonic() - started
        memory.stopped.set()
        memory.join()
        assert process.poll() is None
    seconds = time.monotonic() - began
    assert {status for status, _ in answers} == {"signed"}
    assert memory.own < ITSELF + Limits().memory
    assert memory.together < MEMORY_MAX
    lines = installation.decisions().splitlines()
    newcomers = 1
    # Of each: one at once, one for each second, and what is held at the end.
    assert len(lines) <= (len(ATTACKERS) + 1 + newcomers) * (seconds + 2)
    assert installation.decided()["signed"] >= len(alone) + len(answers)
    within = sorted(decision["ms"] for decision in map(decision_of, lines) if decision["uid"] == THIRD)
    times = sorted(seconds for _, seconds in answers)
    slowest, before = times[-1] * 1000, median(alone) * 1000
    print(
        f"\n{len(answers)} requests in {elapsed:.1f} s beside {CLIENTS} clients ({', '.join(kinds)}) of two users: "
        f"median {median(times) * 1000:.0f} ms (alone {before:.0f} ms), slowest {slowest:.0f} ms; "
        f"from the accept to the answer {median(within):.0f} ms, {within[-1]} ms; "
        f"service {memory.own / MIB:.0f} MiB, with children {memory.together / MIB:.0f} MiB; "
        f"{len(lines)} lines; {dict(installation.decided())}"
    )
