from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from datacrumbs.daemon import chosen_processes
from datacrumbs.daemon.chosen_processes import PROCESSES_MOST, Chosen, choose, take
from datacrumbs.daemon.identity import Owner
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model.contract import Take

USER = Owner(1000, 1000, "ann")


def test_nothing_is_chosen_by_itself():
    assert not choose([], None)
    take(None, Chosen(), USER)


def test_a_process_is_known_by_when_it_began():
    found = choose([os.getpid(), os.getpid(), os.getppid()], None).processes
    assert set(found) == {os.getpid(), os.getppid()}
    assert all(found.values())


def test_processes_that_are_not_there():
    with pytest.raises(DatacrumbsError, match="--pid: 4194304: no such process") as caught:
        choose([1 << 22], None)
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(DatacrumbsError, match=f"{PROCESSES_MOST + 1} processes; expected at most"):
        choose(range(PROCESSES_MOST + 1), None)


def test_a_thread_is_no_process():
    told = []
    thread = threading.Thread(target=lambda: told.append(threading.get_native_id()) or over.wait(300))
    over = threading.Event()
    thread.start()
    while not told:
        pass
    with pytest.raises(DatacrumbsError, match=f"--pid: {told[0]} is a thread of process {os.getpid()}"):
        choose(told, None)
    over.set()
    thread.join()


def test_a_process_is_called_as_it_likes():
    """By a name that looks like a line of its status."""
    program = r"open('/proc/self/comm', 'w', newline='').write('\rTgid: 1'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert process.pid in choose([process.pid], None).processes
        process.communicate(b"\n")


def test_a_container_of_its_own(monkeypatch):
    monkeypatch.setattr(chosen_processes, "_FIRST_NAMESPACE", 1)
    with pytest.raises(DatacrumbsError, match="process ids of this container"):
        choose([1], None)


def test_what_is_no_control_group(tmp_path):
    for path in (tmp_path, tmp_path / "none", tmp_path.relative_to("/")):
        with pytest.raises(DatacrumbsError, match="no control group of version 2") as caught:
            choose([], path)
        assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (Take.FOREIGN, ExitCode.REFUSED, "process 7 is not a process of ann"),
        (Take.PRIVILEGED, ExitCode.REFUSED, "process 7 has capabilities or group ids that ann does not have"),
        (Take.CLOSED, ExitCode.REFUSED, "process 7 keeps its memory from ann"),
        (Take.ANOTHER, ExitCode.FAILED, "process 7 has ended, or the kernel does not list it"),
        (Take.ENDED, ExitCode.FAILED, "process 7 has ended, or the kernel does not list it"),
        (None, ExitCode.FAILED, "process 7 has ended, or the kernel does not list it"),
    ],
)
def test_a_process_that_is_not_taken(outcome, code, words):
    engine = SimpleNamespace(take=lambda *_: {} if outcome is None else {7: outcome})
    with pytest.raises(DatacrumbsError, match=words) as caught:
        take(engine, Chosen({7: 1}), USER)
    assert caught.value.exit_code == code


def test_others_in_a_group_are_passed_over(capsys):
    take(SimpleNamespace(take=lambda *_: {7: Take.FOREIGN, 8: Take.TAKEN, 9: Take.TRACED}), Chosen(group=5), USER)
    assert "traced from now on: 2 running processes" in capsys.readouterr().err


class Asking:
    """An engine that programs ask for processes, and a clock that its looks move on."""

    def __init__(self, seconds=0.0, error=None):
        self.asks, self.now, self.looks = 0, 0.0, []
        self._seconds, self._error = seconds, error

    def take(self, _processes):
        self.looks.append(self.now)
        self.now += self._seconds
        if self._error is not None:
            raise self._error
        return {}


def look_often(engine, monkeypatch, times):
    monkeypatch.setattr(chosen_processes.time, "monotonic", lambda: engine.now)
    asked = chosen_processes.Asked(engine)
    for _ in range(times):
        engine.asks += 1
        asked.look()
        engine.now += 0.25


def test_nothing_is_looked_for_unless_a_program_asked(monkeypatch):
    engine = Asking()
    monkeypatch.setattr(chosen_processes.time, "monotonic", lambda: engine.now)
    asked = chosen_processes.Asked(engine)
    asked.look()
    engine.asks = 1
    asked.look()
    asked.look()
    assert engine.looks == [0.0]


def test_looks_take_a_small_part_of_the_time_however_often_programs_ask(monkeypatch):
    engine = Asking(seconds=1.0)
    look_often(engine, monkeypatch, 200)
    assert engine.looks == [0.0, 21.0, 42.0]


@pytest.mark.parametrize("error", [DatacrumbsError("refused"), OSError(1, "no")])
def test_what_the_kernel_refuses_is_said_once_and_the_run_goes_on(monkeypatch, capsys, error):
    engine = Asking(error=error)
    look_often(engine, monkeypatch, 20)
    assert engine.looks == [0.0]
    assert capsys.readouterr().err.count("running processes cannot be traced") == 1
