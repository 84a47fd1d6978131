"""`datacrumbs record -p PID`: a process that runs already is recorded, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import read_lines

from .conftest import COMMANDS, NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kernel

SECONDS = 300  # a bound, no promise of speed
SERVER = """
import os, sys, threading
file = os.open(os.devnull, os.O_WRONLY)
def write(count):
    for _ in range(count):
        os.write(file, b"1234567")
for line in sys.stdin:
    count = int(line)
    threads = [threading.Thread(target=write, args=(count,)) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if not (child := os.fork()):
        write(1)
        os._exit(0)
    os.waitpid(child, 0)
    print("done", flush=True)
"""


@contextmanager
def serving(**user: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", **user
    ) as process:
        yield process
        process.stdin.close()
        assert process.wait(SECONDS) == 0


def serve(process: subprocess.Popen[str], count: int) -> None:
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def begun(prefix: Path, directory: Path, process: int, *words: str | Path, **options: object) -> subprocess.Popen[str]:
    command = [COMMANDS / "datacrumbs", "record", "--prefix", prefix, "-p", str(process), "--providers", "sys"]
    started = subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True, cwd=directory, **options)
    line = started.stderr.readline()
    assert f"recording process {process} until it ends" in line, line + started.communicate(timeout=SECONDS)[1]
    return started


def written(trace: Path) -> int:
    return sum(call["args"]["ret"] == 7 for call in read_lines(trace).named("write"))


@pytest.fixture(scope="module")
def prefix(shared_directory: Path) -> Path:
    directory = shared_directory / "record-process"
    directory.mkdir()
    return directory


def test_it_is_recorded_until_ctrl_c_and_goes_on(prefix: Path, tmp_path: Path) -> None:
    with serving() as server, serving() as other:
        serve(server, 11)
        recorder = begun(prefix, tmp_path, server.pid)
        serve(server, 101)
        serve(other, 13)
        recorder.send_signal(signal.SIGINT)
        said = recorder.communicate(timeout=SECONDS)[1]
        assert recorder.returncode == 0, said
        serve(server, 17)
    (trace,) = tmp_path.glob("datacrumbs-python*.pfw.gz")
    assert written(trace) == 3 * 101 + 1
    assert "Calls by layer and function" in said


def test_it_ends_with_the_process(prefix: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.pfw.gz"
    with serving() as server:
        recorder = begun(prefix, tmp_path, server.pid, "--no-report", "-o", trace)
        serve(server, 23)
    said = recorder.communicate(timeout=SECONDS)[1]
    assert recorder.returncode == 0, said
    assert written(trace) == 3 * 23 + 1
    assert "every call accounted for" in said


def test_root_names_anyones_and_has_the_trace(prefix: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.pfw.gz"
    with serving(user=NOBODY, group=NOBODY, extra_groups=[]) as server:
        recorder = begun(prefix, tmp_path, server.pid, "--no-report", "-o", trace)
        serve(server, 29)
        recorder.send_signal(signal.SIGTERM)
        said = recorder.communicate(timeout=SECONDS)[1]
    assert recorder.returncode == 0, said
    assert written(trace) == 3 * 29 + 1
    assert (trace.stat().st_uid, trace.stat().st_mode & 0o777) == (0, 0o600)


def refused(prefix: Path, process: int, *words: str, **options: object) -> str:
    command = [COMMANDS / "datacrumbs_record", "--prefix", prefix, *words, "-p", str(process)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, **options)
    assert (done.returncode, done.stdout) == (125, ""), done.stderr
    return done.stderr


def test_what_cannot_be_recorded(prefix: Path, shared_directory: Path) -> None:
    with serving() as server:
        sudo = os.environ | {"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)}
        place = shared_directory / "nobodys"
        place.mkdir()
        os.chown(place, NOBODY, NOBODY)
        said = refused(prefix, server.pid, cwd=place, env=sudo)
        assert f"process {server.pid} cannot be looked at" in said
        assert f"sudo datacrumbs record -p {server.pid}" in refused(prefix, server.pid, user=NOBODY, cwd="/")
        assert not list(place.iterdir())
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert f"process {ended.pid} runs no program: it has ended" in refused(prefix, ended.pid, cwd="/")
    assert "no such process" in refused(prefix, (1 << 22) - 1, "--best-effort", cwd="/")


def test_a_command_beside_it_is_a_mistake(prefix: Path) -> None:
    done = subprocess.run(
        [COMMANDS / "datacrumbs_record", "--prefix", prefix, "-p", "1", "true"],
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, "one of them can be recorded" in done.stderr) == (2, True)
