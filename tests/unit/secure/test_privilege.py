"""What a process is once it has given up its privileges, tried in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from datacrumbs.daemon.identity import TRACING_ID
from datacrumbs.secure.privilege import WHILE_TRACING, Capability

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")

START = """
import ctypes, os, signal
from pathlib import Path
from datacrumbs.secure import privilege

def status():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: line.split()[1:] for line in lines}
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + code], capture_output=True, input="", text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_is_kept_is_all_that_is_left() -> None:
    code = f"""
privilege.become({TRACING_ID}, {TRACING_ID}, kept=privilege.WHILE_TRACING)
found = status()
print(set(found["Uid"] + found["Gid"]), found["Groups"])
print(*(int(found[key][0], 16) for key in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")), found["NoNewPrivs"])
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    kept = sum(1 << each for each in WHILE_TRACING)
    assert WHILE_TRACING == (Capability.BPF, Capability.PERFMON, Capability.KILL)
    assert run(code).splitlines() == [f"{{'{TRACING_ID}'}} []", f"{kept} {kept} 0 0 0 ['1']", "0"]


def test_the_end_of_the_parent_is_still_told() -> None:
    """The kernel forgets the signal when ids change."""
    code = f"""
reading, writing = os.pipe()
if not os.fork():
    signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGUSR1}})
    privilege.prctl(1, int(signal.SIGUSR1))
    if os.fork():
        os.waitpid(-1, 0)
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGUSR1}})
    privilege.prctl(1, int(signal.SIGUSR1))
    privilege.become({TRACING_ID}, {TRACING_ID})
    os.kill(os.getpid(), 0)
    parent = os.getppid()
    os.write(writing, b"%d" % parent)
    taken = signal.sigtimedwait({{signal.SIGUSR1}}, 120)
    os.write(writing, b"told" if taken else b"not told")
    os._exit(0)
os.kill(int(os.read(reading, 100)), signal.SIGKILL)
print(os.read(reading, 100).decode())
"""
    assert run(code) == "told"


@pytest.mark.parametrize(("streams", "empty"), [((), "0"), ((0, 1, 2), "012")])
def test_no_terminal_and_nothing_to_read(streams: tuple[int, ...], empty: str) -> None:
    code = f"""
reading, writing = os.pipe()
process = os.fork()
if not process:
    privilege.leave_terminal(*{streams})
    empty = [str(each) for each in range(3) if os.readlink(f"/proc/self/fd/{{each}}") == os.devnull]
    os.write(writing, " ".join([str(os.getsid(0) == os.getpid()), "".join(empty)]).encode())
    os._exit(0)
os.waitpid(process, 0)
print(os.read(reading, 100).decode())
"""
    assert run(code) == f"True {empty}"
