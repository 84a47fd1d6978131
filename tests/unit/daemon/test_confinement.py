"""What the daemon's processes may not do any more, tried in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_START = """
import ctypes, os, signal, socket, sys, zlib
import numpy as np
from datacrumbs.daemon import confinement

def errors(work):
    try:
        work()
    except OSError as error:
        return error.errno
    return 0

kept = open(sys.argv[1], "wb", buffering=0)
pair = socket.socketpair()
"""
_FORBIDDEN = {
    "another file": "os.open(sys.argv[1] + '2', os.O_WRONLY | os.O_CREAT)",
    "an existing file": "os.open(sys.argv[1], os.O_RDWR)",
    "a program": "os.execv('/bin/true', ['true'])",
    "a process": "os.fork()",
    "a socket": "socket.socket()",
    "a unix socket": "socket.socket(socket.AF_UNIX)",
    "a signal": "os.kill(os.getppid(), 0)",
    "a name": "os.unlink(sys.argv[1])",
    "a mode": "os.chmod(sys.argv[1], 0o777)",
    "a user": "os.setuid(0)",
    "a key for the terminal": "__import__('fcntl').ioctl(2, 0x5412, b'x')",
}


def run(code: str, path: Path, *more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _START + code, path, *more], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("what", _FORBIDDEN)
def test_the_processes_beside_may_not(tmp_path: Path, what: str) -> None:
    code = f"confinement.confine_beside(())\nprint(errors(lambda: {_FORBIDDEN[what]}))"
    assert run(code, tmp_path / "file") == "38"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_processes_beside_may_work(tmp_path: Path) -> None:
    """Memory in all sizes, compression, what is open, messages, files to read, modules that are imported late."""
    code = """
confinement.confine_beside(())
data = b"".join(os.urandom(1009) * 1009 for _ in range(11))
packed = zlib.compress(data)
rows = np.sort(np.frombuffer(data, np.uint8)).astype(np.float64)
total = (np.ones((307, 307)) @ np.ones((307, 307))).sum()
kept.write(packed); kept.seek(0); kept.truncate(7)
pair[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, kept.fileno().to_bytes(4, "little"))])
_, received, _, _ = socket.recv_fds(pair[1], 16, 1)
pair[0].settimeout(0); pair[0].set_inheritable(False); open(sys.argv[1]).close()
import select, time, wave
select.select([pair[1]], [], [], 0.001); time.sleep(0.001)
print(len(zlib.decompress(packed)), len(rows), int(total), len(received), len(open("/proc/self/maps").read()) > 0)
"""
    assert run(code, tmp_path / "file") == f"{11 * 1009 * 1009} {11 * 1009 * 1009} {307**3} 1 True"


@pytest.mark.parametrize("what", ["a program", "a socket"])
def test_the_process_that_traces_may_not(tmp_path: Path, what: str) -> None:
    code = f"confinement.confine_tracing(perf_events=False)\nprint(errors(lambda: {_FORBIDDEN[what]}))"
    assert run(code, tmp_path / "file") == "38"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
def test_the_process_that_traces_loads_nothing_into_the_kernel(tmp_path: Path) -> None:
    """Neither with bits in the register that the kernel does not look at; what is loaded is used further."""
    code = """
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command):
    ctypes.set_errno(0)
    libc.syscall(321, ctypes.c_long(command), ctypes.create_string_buffer(128), 128)
    return ctypes.get_errno()
confinement.confine_tracing(perf_events=bool(int(sys.argv[2])))
before = bpf(5)
confinement.load_nothing()
loading = {bpf(command | high) for command in (0, 5, 6, 7, 13, 14, 18, 19, 30) for high in (0, 1 << 32)}
using = {bpf(command) == 38 for command in (1, 2, 3, 28, 33)}
ctypes.set_errno(0)
libc.syscall(298, None, 0, -1, -1, 0)
print(before != 38, loading, using, ctypes.get_errno() == 38)
"""
    for allowed in ("0", "1"):
        assert run(code, tmp_path / "file", allowed) == f"True {{38}} {{False}} {allowed == '0'}"


def test_the_process_that_traces_may_work(tmp_path: Path) -> None:
    code = """
confinement.confine_tracing(perf_events=False)
socket.socket(socket.AF_UNIX).close()
os.close(os.memfd_create("x"))
open(sys.argv[1] + "2", "wb").close()
process = os.fork()
if not process:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""
    assert run(code, tmp_path / "file") == "7"


def test_no_file_is_changed_by_landlock(tmp_path: Path) -> None:
    """Where the kernel has it; what was open before is written all the same."""
    code = """
confinement._LIBC.prctl(38, 1, 0, 0, 0)
there = confinement.change_no_files()
kept.write(b"seven b"); kept.truncate(5)
found = [errors(lambda: os.open(sys.argv[1], os.O_RDWR)), errors(lambda: os.mkdir(sys.argv[1] + "2"))]
print(found == ([13, 13] if there else [0, 0]), open(sys.argv[1]).read())
"""
    assert run(code, tmp_path / "file") == "True seven"
