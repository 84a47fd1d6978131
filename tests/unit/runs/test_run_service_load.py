"""The service of runs under load by two users: a third one is served, and its runs go on.

``DATACRUMBS_RUNS_CLIENTS`` of each kind and user (7) and ``DATACRUMBS_RUNS_SECONDS`` (0) make it long.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from datacrumbs.install.units import RUNS_UNIT, unit_text
from datacrumbs.runs.run_client import open_request
from datacrumbs.runs.run_order import REQUEST_LIMIT
from datacrumbs.runs.run_service import LIMITS
from datacrumbs.system import SystemPaths

from .conftest import POLICY, until_end
from .test_run_service import as_user, begun, shown_runs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")

CLIENTS = int(os.environ.get("DATACRUMBS_RUNS_CLIENTS", "7"))
SECONDS = float(os.environ.get("DATACRUMBS_RUNS_SECONDS", "0"))
KINDS = ("silent", "slow", "again", "large")
ATTACKERS, THIRD, REQUESTS = (1, 2), 3, 3
CROWD = Path(__file__).parents[1] / "signer" / "crowd.py"
MIB = 1 << 20
ITSELF, COPIED = 128 * MIB, 32 * MIB
"""What the service takes without requests, and what a child copies of memory that it shares with its parent."""


def unit(name: str) -> str:
    return re.search(rf"^{name}=(\S+)$", unit_text(RUNS_UNIT, SystemPaths(Path("/"))), re.MULTILINE)[1]


def test_the_limits_add_up_to_less_than_the_units():
    most = int(unit("MemoryMax").removesuffix("G")) << 30
    assert ITSELF + LIMITS.memory + LIMITS.checks * (LIMITS.check.memory + COPIED) < most
    assert LIMITS.memory_per_user * len(ATTACKERS) + REQUEST_LIMIT <= LIMITS.memory
    assert LIMITS.connections + 2 * LIMITS.checks + 100 < int(unit("LimitNOFILE"))
    assert LIMITS.checks > len(ATTACKERS)


@contextmanager
def crowds(served):
    body = served.directory / "large.json"
    body.write_bytes(b"[" + b"{}," * ((22 << 20) // 3) + b"{}]")
    with ExitStack() as stack:
        running = []
        for uid in ATTACKERS:
            for kind in KINDS:
                words = [sys.executable, CROWD, str(uid), kind, str(served.paths.runs_socket), str(CLIENTS), str(body)]
                process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                stack.callback(ended, process)
                running.append(process)
        for process in running:
            assert process.stdout.readline() == "ready\n"
        yield


def ended(process):
    process.stdin.close()
    process.stdout.close()
    process.wait(300)


def asked(served) -> str:
    with as_user(THIRD):
        connection, reply = open_request(served.paths, {"request": "allowed"})  # once: no second try
    connection.close()
    return reply["status"]


def test_a_third_user_is_served_while_two_do_what_they_can(served):
    served.paths.policy.write_text(POLICY + f"  - users: ['{THIRD}', sys]\n")
    with served.service() as process:
        run = begun(served)
        before = asked(served)
        with crowds(served):
            began = time.monotonic()
            answers = []
            while len(answers) < REQUESTS or time.monotonic() - began < SECONDS:
                answers.append(asked(served))
            assert [(shown.run, shown.state) for shown in shown_runs(served.paths)] == [(run.run_id, "running")]
        memory = Path(f"/proc/{process.pid}/status").read_text()
        assert process.poll() is None
        run.stop()
        until_end(run)
        run.close()
    assert {before, *answers} == {"allowed"}
    assert int(re.search(r"VmHWM:\s*(\d+)", memory)[1]) << 10 < ITSELF + LIMITS.memory
