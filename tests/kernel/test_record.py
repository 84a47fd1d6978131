"""`datacrumbs record CMD` as users call it: on a host where nothing was set up, and with the command as without it."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.system import SystemPaths
from datacrumbs.testing import read_lines

from ..waiting import state_of, until  # noqa: TID252 - helpers of all tests
from .conftest import COMMANDS, NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.testing import TraceLines

pytestmark = pytest.mark.kernel

RECORD = (COMMANDS / "datacrumbs", "record")
SECONDS = 300  # a bound, no promise of speed
MARK = "DATACRUMBS_TEST_MARK"
HOSTILE = "\x1b[31m[bold red]x\x9b2J\u202e\r\x07 ü\ndatacrumbs: no"
STEERING = "\x1b\x9b\u202e\r\x07"


@pytest.fixture(scope="module")
def prefix(shared_directory: Path) -> Path:
    """Where nothing was set up; compiled programs are kept there for the next test."""
    directory = shared_directory / "record"
    directory.mkdir()
    return directory


@pytest.fixture
def work(shared_directory: Path) -> Iterator[Path]:
    """The directory of an ordinary user who may be called so by sudo."""
    directory = shared_directory / f"work-{uuid.uuid4().hex}"
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    yield directory
    shutil.rmtree(directory)


def record(prefix: Path, *words: str | Path, **options) -> subprocess.CompletedProcess[str]:
    given = {"capture_output": True, "text": True, "timeout": SECONDS, "cwd": "/"} | options
    return subprocess.run([*RECORD, "--prefix", prefix, *words], check=False, **given)


def begun(prefix: Path, *words: str | Path, **options) -> subprocess.Popen[str]:
    given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([*RECORD, "--prefix", prefix, *words], **given)


def only_trace(directory: Path) -> Path:
    (trace,) = directory.glob("*.pfw.gz")
    return trace


def calls_on(lines: TraceLines, name: str, file: Path) -> int:
    return sum(lines.file(call) == str(file) for call in lines.named(name, "POSIX"))


def assert_complete(lines: TraceLines) -> None:
    assert lines.footer
    assert lines.footer["entered"] == sum(
        value for key, value in lines.footer.items() if key in {"recorded", "filtered", "unmatched", "in_flight"}
    )


def dd(file: Path, count: int) -> tuple[str, ...]:
    return ("dd", "if=/dev/zero", f"of={file}", "bs=1", f"count={count}", "status=none")


def as_sudo(user: int = NOBODY) -> dict[str, str]:
    return os.environ | {"SUDO_UID": str(user), "SUDO_GID": str(user), "SUDO_USER": "nobody", "SUDO_COMMAND": "x"}


# ---- on a host where nothing was set up ----

UNTOUCHED = """
set -e
for place in etc var run; do
    mkdir -p "$0/$place" "$0/$place.work"
    mount -t overlay overlay -o "lowerdir=/$place,upperdir=$0/$place,workdir=$0/$place.work" "/$place"
done
exec "$@"
"""


def test_nothing_is_made_below_etc(tmp_path: Path) -> None:
    layers, file = tmp_path / "layers", tmp_path / "written"
    command = [*RECORD, "-o", tmp_path / "own.pfw.gz", *dd(file, 23)]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", UNTOUCHED, layers, *command],
        capture_output=True, text=True, check=False, timeout=SECONDS, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert calls_on(read_lines(tmp_path / "own.pfw.gz"), "write", file) == 23
    assert "Calls by layer and function" in done.stderr
    changed = {path.relative_to(layers) for place in ("etc", "run") for path in (layers / place).rglob("*")}
    assert changed <= {Path("run/datacrumbs")}
    kept = {path.relative_to(layers).parts[:4] for path in (layers / "var").rglob("*") if path.is_file()}
    assert {parts[:3] for parts in kept} <= {("var", "lib", "datacrumbs")}
    assert {parts[3] for parts in kept} <= {"programs", "attach.sqlite", "kept"}
    assert not list(layers.rglob("*.key"))


def test_on_a_host_that_was_set_up(installation, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (installation.prefix / "etc").rglob("*")}
    file = tmp_path / "written"
    done = record(installation.prefix, "--no-report", *dd(file, 29), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = read_lines(only_trace(tmp_path))
    assert calls_on(lines, "write", file) == 29
    assert_complete(lines)
    assert {path: path.stat().st_mtime_ns for path in (installation.prefix / "etc").rglob("*")} == before


# ---- the command is as without it ----


@pytest.mark.parametrize("status", [0, 7, 125, 255])
def test_the_exit_status_is_the_commands(prefix: Path, tmp_path: Path, status: int) -> None:
    done = record(prefix, "--no-report", "sh", "-c", f"echo out; echo err >&2; exit {status}", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "out\n")
    first, *rest = done.stderr.splitlines()
    assert first == "err"  # what ours prints comes after its end
    assert all(line.startswith("datacrumbs_record: ") for line in rest)
    assert_complete(read_lines(only_trace(tmp_path)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL, signal.SIGINT])
def test_it_dies_of_the_commands_signal(prefix: Path, tmp_path: Path, number: signal.Signals) -> None:
    done = record(prefix, "--no-report", "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$", cwd=tmp_path)
    assert done.returncode == -number
    assert_complete(read_lines(only_trace(tmp_path)))


def test_commands_that_cannot_be_run(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").write_text("")
    (tmp_path / "lost").write_text("#!/no/such/interpreter\n")
    (tmp_path / "lost").chmod(0o755)
    for command, status in (("./missing", 127), ("no-such-command", 127), ("./closed", 126), ("/", 126)):
        done = record(prefix, command, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert done.stderr.startswith(f"datacrumbs_record: {command}: ")
    assert not list(tmp_path.glob("*.pfw.gz"))
    assert record(prefix, "--no-report", "./lost", cwd=tmp_path).returncode == 127


PROBE = """
import json, os, signal, sys
environment = sorted(open("/proc/self/environ").read().split("\\0"))
print(json.dumps({
    "group": os.getpgrp() == int(sys.argv[1]), "parent": os.getppid() == int(sys.argv[1]),
    "blocked": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "ignored": [int(n) for n in sorted(signal.valid_signals()) if signal.getsignal(n) == signal.SIG_IGN],
    "files": sorted(os.listdir("/proc/self/fd")), "ids": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
    "environment": [each for each in environment if each.split("=")[0] not in ("LD_PRELOAD", "DATACRUMBS_RUN_ID")],
}))
"""


def test_signals_descriptors_and_environment_are_as_without_it(prefix: Path, tmp_path: Path) -> None:
    script = f'exec "$@" {sys.executable} -c "$0" $$'
    given = {"capture_output": True, "text": True, "timeout": SECONDS, "start_new_session": True}
    plain = subprocess.run(["sh", "-c", script, PROBE], check=True, **given)
    recorded = subprocess.run(
        ["sh", "-c", script, PROBE, *RECORD, "--prefix", prefix, "--no-report", "-o", tmp_path / "t.pfw.gz"],
        check=True,
        **given,
    )
    expected = json.loads(plain.stdout) | {"parent": True}  # the parent is who records, in the same group
    assert json.loads(recorded.stdout) == expected


def test_it_goes_on_untraced_where_that_is_enough(prefix: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.pfw.gz"
    taken.write_bytes(b"precious")
    refused = record(prefix, "-o", taken, "sh", "-c", "echo run")
    assert (refused.returncode, refused.stdout) == (125, "")
    assert "exists already" in refused.stderr
    done = record(prefix, "--best-effort", "-o", taken, "sh", "-c", "echo run; exit 3")
    assert (done.returncode, done.stdout) == (3, "run\n")
    assert "datacrumbs_record: not traced: " in done.stderr
    assert taken.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [taken]


def test_a_dry_run_runs_nothing(prefix: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("data_dir: /data\ncapture_probes:\n  - {provider: sys, preset: data}\n")
    for _ in range(2):  # composed, and perhaps remembered
        done = record(prefix, "-n", "--site", site, "touch", "made", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()  # one for each provider and target
        assert line.startswith("sys: kernel: ")
        assert "data_dir: ignored: nothing is kept between configurations" in done.stderr
    assert list(tmp_path.iterdir()) == [site]
    done = record(prefix, "--verbose", "--no-report", "--site", site, "true", cwd=tmp_path)
    assert "data_dir: ignored" in done.stderr


def test_only_what_the_command_executes_is_recorded(prefix: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("capture_probes:\n  - {provider: sys, functions: execve}\n")
    done = record(prefix, "--site", site, "--no-report", "sh", "-c", "exec /bin/dd count=0 status=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    calls = read_lines(only_trace(tmp_path)).named("execve")
    # The launcher's search of PATH is over before it marks itself.
    assert [call["args"].get("errno") for call in calls] == [None, None]


def test_what_is_no_place_for_a_trace(prefix: Path, tmp_path: Path) -> None:
    done = record(prefix, "-o", tmp_path, "true")
    assert (done.returncode, f"{tmp_path}: is a directory" in done.stderr) == (125, True)
    done = record(prefix, "-o", "", "true")
    assert (done.returncode, "an empty name" in done.stderr) == (2, True)
    assert not list(tmp_path.iterdir())


def test_hostile_names(prefix: Path, tmp_path: Path) -> None:
    program = tmp_path / HOSTILE
    program.write_text("#!/bin/sh\nexit 5\n")
    program.chmod(0o755)
    done = record(prefix, f"./{HOSTILE}", cwd=tmp_path)
    assert done.returncode == 5
    assert not set(done.stderr) & set(STEERING)
    assert not any(line.startswith("datacrumbs: no") for line in done.stderr.splitlines())
    trace = only_trace(tmp_path)
    assert trace.name.isascii()
    assert "\n" not in trace.name


# ---- under sudo ----


IDS = (
    "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), [each for each in os.environ if 'SUDO' in each])"
)


def test_under_sudo_it_is_the_users(prefix: Path, work: Path) -> None:
    script = f'{sys.executable} -c "$0"; printf %s "$HOME $USER $LOGNAME"; exec "$@"'
    done = record(prefix, "--no-report", "sh", "-c", script, IDS, *dd(Path("out"), 31), cwd=work, env=as_sudo())
    assert done.returncode == 0, done.stderr
    ids = f"({NOBODY}, {NOBODY}, {NOBODY})"
    assert done.stdout == f"{ids} {ids} [{NOBODY}] []\n/nonexistent nobody nobody"
    trace = only_trace(work)
    status = trace.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY, NOBODY, 0o600)
    assert calls_on(read_lines(trace), "write", work / "out") == 31


def test_under_sudo_only_the_users_rights_count(prefix: Path, work: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copy("/bin/true", closed / "program")
    assert record(prefix, closed / "program", cwd=work, env=as_sudo()).returncode == 126
    denied = record(prefix, "-o", closed / "t.pfw.gz", "true", cwd=work, env=as_sudo())
    assert (denied.returncode, denied.stdout) == (125, "")
    link = work / "link.pfw.gz"
    link.symlink_to(tmp_path / "elsewhere")
    followed = record(prefix, "-o", link, "true", cwd=work, env=as_sudo())
    assert followed.returncode == 125
    assert not (tmp_path / "elsewhere").exists()
    assert list(closed.iterdir()) == [closed / "program"]


def test_an_ordinary_user_is_told_what_to_do(prefix: Path) -> None:
    done = record(prefix, "true", user=NOBODY, group=NOBODY, extra_groups=[])
    assert (done.returncode, done.stdout) == (125, "")
    assert "sudo datacrumbs record CMD" in done.stderr


def test_a_wrong_command_line_runs_nothing(prefix: Path, work: Path) -> None:
    words = ["--best-effort", "--mode", "trace", "--probe-file", "/dev/null", "touch", "made"]
    done = record(prefix, *words, cwd=work, env=as_sudo())
    assert done.returncode == 2, done.stderr
    assert not list(work.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_a_service_does_not_answer(shared_directory: Path, work: Path, number: signal.Signals) -> None:
    site = Path(tempfile.mkdtemp(dir=shared_directory))
    site.chmod(0o755)
    place = SystemPaths(site).runs_socket
    place.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        place.chmod(0o666)
        listener.listen()
        listener.settimeout(SECONDS)
        process = begun(site, "true", cwd=work, user=NOBODY, group=NOBODY, extra_groups=[])
        connection, _ = listener.accept()
        with connection:
            process.send_signal(number)
            said = process.communicate(timeout=300)
    assert (process.returncode, said) == (-number, ("", ""))
    assert not list(work.iterdir())


# ---- a terminal ----


class Terminal:
    """A shell with job control on a terminal of its own."""

    def __init__(self, directory: Path) -> None:
        self.pid, self.descriptor = pty.fork()
        if not self.pid:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever nohup began: what runs ends with the terminal
            os.chdir(directory)
            shell = ["bash", "--norc", "--noprofile", "-i"]
            os.execve("/bin/bash", shell, os.environ | {"PS1": "$ ", "TERM": "dumb"})  # noqa: S606 - a shell is meant
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def expect(self, words: str) -> str:
        """Wait until the terminal shows this after all that was expected before; gives what it showed before."""
        deadline = time.monotonic() + SECONDS
        while words not in self.text:
            assert select.select([self.descriptor], [], [], max(0, deadline - time.monotonic()))[0], self.text
            self.text += os.read(self.descriptor, 1 << 16).decode(errors="replace")
        before, _, self.text = self.text.partition(words)
        return before

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.descriptor)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    made.expect("$ ")
    yield made
    made.close()


def line(prefix: Path, *words: str) -> str:
    return " ".join([*map(str, RECORD), "--no-report", "--prefix", str(prefix), *words])


def test_a_command_that_reads_the_terminal(terminal: Terminal, prefix: Path, tmp_path: Path) -> None:
    script = tmp_path / "ask"
    script.write_text('test -t 0 && printf "na""me? "; read name; echo "you are $name"; exit 3\n')
    terminal.type(line(prefix, "sh", "ask") + '; echo "status=$?"\n')
    terminal.expect("name? ")
    terminal.type("someone\n")
    terminal.expect("you are someone")
    terminal.expect("status=3")
    assert_complete(read_lines(only_trace(tmp_path)))


# What it is told of being continued is not missed: a handler of Python's may wait until what is read is there.
STOPPED = """
import os, select, signal, sys
told, wakes = os.pipe2(os.O_NONBLOCK)
signal.signal(signal.SIGCONT, lambda *_: None)
signal.set_wakeup_fd(wakes)
os.write(1, b"beg" b"un %d.\\n" % os.getpid())
while 0 not in select.select([0, told], [], [])[0]:
    os.read(told, 64)
    os.write(1, b"contin" b"ued\\n")
word = sys.stdin.readline()
file = os.open("out", os.O_WRONLY | os.O_CREAT)
for _ in range(37):
    os.write(file, b"x")
print("en" "ded", word)
sys.exit(4)
"""


def test_a_command_that_is_stopped_and_continued(terminal: Terminal, prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "work").write_text(STOPPED)
    terminal.type(line(prefix, sys.executable, "work") + "\n")
    terminal.expect("begun ")
    command = int(terminal.expect("."))
    for _ in range(2):
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect("$ ")
        # A shell knows what records the command. Where that one stops first, a line that is typed at once is perhaps
        # read by the command, which is about to stop.
        until(lambda: state_of(command) == "T")
        terminal.type("fg\n")
        terminal.expect("continued")
    terminal.type("well\n")
    assert "continued" not in terminal.expect("ended well")  # once each time
    terminal.expect("$ ")
    terminal.type('echo "status=$?"\n')
    terminal.expect("status=4")
    assert calls_on(read_lines(only_trace(tmp_path)), "write", tmp_path / "out") == 37


# Stopped and continued by a process of its own, when what records it has stopped as well.
STOPS_ITS_PARENT = """
import os, signal
from pathlib import Path
command, recorder = os.getpid(), os.getppid()
if not os.fork():
    os.kill(command, signal.SIGSTOP)
    while Path(f"/proc/{recorder}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"T":
        pass
    os.kill(command, signal.SIGCONT)
    os._exit(0)
os.wait()
raise SystemExit(7)
"""


def test_a_command_that_its_own_process_stops_and_continues(prefix: Path, tmp_path: Path) -> None:
    """What continues the command need not know what records it."""
    words = ("-o", tmp_path / "trace.pfw.gz", "--providers", "sys", "--", sys.executable, "-c", STOPS_ITS_PARENT)
    done = record(prefix, *words)
    assert done.returncode == 7, done.stderr
    assert_complete(read_lines(tmp_path / "trace.pfw.gz"))


SLOW_REPORT = """
import sys
from datacrumbs.commands._command import Command
load = Command.load
def load_slow(command):
    work = load(command)
    def slow(options):
        print("repor" "ting", file=sys.stderr, flush=True)
        sys.stdin.readline()
        return work(options)
    return slow if command.name == "report" else work
Command.load = load_slow
del sys.argv[0]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""


def test_the_report_is_stopped_and_continued(terminal: Terminal, prefix: Path, tmp_path: Path) -> None:
    """By the keyboard, together with the recorder: the shell sees one job, and the report is made after ``fg``."""
    (tmp_path / "slow").write_text(SLOW_REPORT)
    words = [sys.executable, "slow", *RECORD, "--prefix", prefix, *dd(tmp_path / "out", 47)]
    terminal.type(" ".join(map(str, words)) + "\n")
    terminal.expect("reporting")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.expect("$ ")
    terminal.type("fg\n")
    terminal.expect("slow")  # the shell repeats the job
    terminal.type("\n")
    terminal.expect("Calls by layer and function")
    terminal.expect("$ ")
    assert calls_on(read_lines(only_trace(tmp_path)), "write", tmp_path / "out") == 47


def test_the_keyboard_interrupts_the_command(terminal: Terminal, prefix: Path, tmp_path: Path) -> None:
    script = tmp_path / "work"
    script.write_text("trap 'echo caught; exit 6' INT; echo be''gun; while :; do read word; done\n")
    terminal.type(line(prefix, "sh", "work") + '; echo "status=$?"\n')
    terminal.expect("begun")
    terminal.type("\x03")
    terminal.expect("caught")
    terminal.expect("status=6")
    assert_complete(read_lines(only_trace(tmp_path)))


# ---- signals ----

WAITING = """
import os, signal, sys
signals = {signal.SIGTERM, signal.SIGUSR1, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("begun", flush=True)
taken = signal.sigwait(signals)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for _ in range(41):
    os.write(file, b"x")
sys.exit(100 + taken)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_to_the_recorder_is_passed_on(prefix: Path, tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "out"
    process = begun(prefix, "--no-report", sys.executable, "-c", WAITING, file, cwd=tmp_path)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 100 + number
    assert calls_on(read_lines(only_trace(tmp_path)), "write", file) == 41


INTERRUPT = """
import os, signal, sys
event, value, turn, script, *arguments = sys.argv[1:]
sys.argv = [script, *arguments]
own, left = os.getpid(), [int(turn)]
def interrupt():
    left[0] -= 1
    if left[0] == 0:
        os.killpg(0, signal.SIGINT)
class Finder:
    def find_spec(name, path=None, target=None):
        if event == "import" and name == value:
            interrupt()
sys.meta_path.insert(0, Finder)
def hook(name, given):
    # A number is the whole argument: it can be within that of a process.
    given = given or [sys._getframe(1).f_code.co_filename]  # of a fork, which module makes it
    matches = any(str(each) == value or (value[0] in "./" and str(each).endswith(value)) for each in given)
    if name == event != "import" and matches and os.getpid() == own:
        interrupt()
sys.addaudithook(hook)
exec(compile(open(script).read(), script, "exec"))
"""
BEFORE, AFTER = False, True
MOMENTS = {
    "while commands are imported": ("import", "datacrumbs.commands.record", 1, BEFORE),
    "while the session is imported": ("import", "datacrumbs.commands._record_session", 1, BEFORE),
    "before composing": ("import", "datacrumbs.session.composition_request", 1, BEFORE),
    "while composing": ("import", "datacrumbs.session.own_decision", 1, BEFORE),
    "before it is decided": ("os.fork", "/limited.py", 1, BEFORE),
    "when the trace is made": ("open", ".pfw.gz", 1, BEFORE),
    "while the run starts": ("os.fork", "/own_run.py", 1, BEFORE),
    "when the command starts": ("os.fork", "/foreground.py", 1, AFTER),
    "while it stops": ("os.kill", str(int(signal.SIGTERM)), 1, AFTER),
    "before the report": ("os.fork", "/_record_report.py", 1, AFTER),
    "in the report": ("import", "polars", 1, AFTER),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted(prefix: Path, tmp_path: Path, moment: str) -> None:
    event, value, turn, after = MOMENTS[moment]
    mark = uuid.uuid4().hex
    command = [sys.executable, "-c", INTERRUPT, event, value, str(turn), RECORD[0], "record", "--prefix", prefix]
    done = subprocess.run(
        [*command, *dd(tmp_path / "out", 43)], capture_output=True, text=True, check=False, timeout=SECONDS,
        cwd=tmp_path, env=os.environ | {MARK: mark}, start_new_session=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    until(lambda: not running_with(mark))
    assert not list((prefix / "run/datacrumbs").glob("*"))
    if after and done.returncode == 0:
        lines = read_lines(only_trace(tmp_path))
        assert calls_on(lines, "write", tmp_path / "out") == 43
        assert_complete(lines)
    elif after:  # the command died of it
        assert done.returncode == -signal.SIGINT
        assert_complete(read_lines(only_trace(tmp_path)))
    else:
        assert done.returncode in {-signal.SIGINT, 130}, done.stderr
        assert not list(tmp_path.iterdir())


def test_a_recorder_that_is_killed_leaves_a_whole_trace(prefix: Path, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    marked = os.environ | {MARK: mark}
    process = begun(prefix, sys.executable, "-c", WAITING, tmp_path / "out", cwd=tmp_path, env=marked)
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.wait(SECONDS)
    until(lambda: len(running_with(mark)) <= 1)
    (running,) = running_with(mark)  # the command goes on, untraced
    os.kill(running, signal.SIGKILL)
    process.communicate()
    assert read_lines(only_trace(tmp_path)).footer
    assert not list((prefix / "run/datacrumbs").glob("*"))


def children_of(process: int) -> list[int]:
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


@pytest.mark.parametrize("part", ["tracing", "writing"])
def test_the_report_says_that_a_run_whose_process_was_killed_is_over(prefix: Path, tmp_path: Path, part: str) -> None:
    process = begun(prefix, sys.executable, "-c", WAITING, tmp_path / "out", cwd=tmp_path)
    assert process.stdout.readline() == "begun\n"
    # The command has no children.
    (tracing,) = (child for child in children_of(process.pid) if children_of(child))
    os.kill({"tracing": tracing, "writing": children_of(tracing)[0]}[part], signal.SIGKILL)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 100 + signal.SIGTERM
    assert "the trace is not complete" in said
    assert f"trace {only_trace(tmp_path)}: cut short: no footer" in said


def running_with(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


# ---- what a command starts ----

DAEMON = """
import os, sys
if not os.fork():
    os.setsid()
    if not os.fork():
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        open(sys.argv[1]).read()
        os._exit(0)
    os._exit(0)
os.wait()
"""


def test_a_daemon_that_lives_on_is_left_alone(prefix: Path, tmp_path: Path) -> None:
    fifo, mark = tmp_path / "fifo", uuid.uuid4().hex
    os.mkfifo(fifo)
    done = record(
        prefix, "--no-report", sys.executable, "-c", DAEMON, fifo, cwd=tmp_path, env=os.environ | {MARK: mark}
    )
    assert done.returncode == 0, done.stderr
    assert read_lines(only_trace(tmp_path)).footer
    assert len(running_with(mark)) == 1
    fifo.open("w").close()
    until(lambda: not running_with(mark))


def test_two_side_by_side_do_not_mix(prefix: Path, tmp_path: Path) -> None:
    traces = {}
    processes = {}
    for count in (47, 53):
        directory = tmp_path / str(count)
        directory.mkdir()
        script = f"echo begun; read go; exec {' '.join(dd(directory / 'out', count))}"
        processes[count] = begun(prefix, "--no-report", "sh", "-c", script, cwd=directory)
    for process in processes.values():
        assert process.stdout.readline() == "begun\n"
    for process in processes.values():
        process.stdin.write("go\n")
        process.stdin.flush()
    for count, process in processes.items():
        process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        traces[count] = read_lines(only_trace(tmp_path / str(count)))
    for count, lines in traces.items():
        assert calls_on(lines, "write", tmp_path / str(count) / "out") == count
        assert_complete(lines)
        others = {lines.file(call) for call in lines.calls}
        assert not any(str(tmp_path / str(other)) in file for other in traces if other != count for file in others)


def test_traces_of_one_second_and_one_name(prefix: Path, tmp_path: Path) -> None:
    processes = [begun(prefix, "--no-report", "true", cwd=tmp_path) for _ in range(3)]
    for process in processes:
        process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    assert len(list(tmp_path.glob("datacrumbs-true-*.pfw.gz"))) == 3


def test_a_command_that_is_not_there_is_that_in_each_way(prefix: Path, tmp_path: Path) -> None:
    denied = tmp_path / "file"
    denied.write_text("")
    for more in ([], ["--best-effort"], ["--best-effort", "--probe-file", "/nonexistent"]):
        for command, status, words in (("no-such-command", 127, "command not found"), (str(denied), 126, "Permission")):
            done = record(prefix, *more, command)
            assert done.returncode == status, done.stderr
            assert words in done.stderr
            assert "Traceback" not in done.stderr


def test_a_mode_is_judged_like_the_rest_of_a_plan(shared_directory: Path, work: Path) -> None:
    site = shared_directory / f"judged-{uuid.uuid4().hex}"
    policy = site / "etc/datacrumbs/policy.yaml"
    policy.parent.mkdir(parents=True)
    policy.write_text('rules:\n  - users: ["*"]\n    modes: [profile]\n')
    given = {**os.environ, "SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)}
    for mode, status in (("trace", 125), ("profile", 0)):
        done = record(site, "--mode", mode, "--no-report", "-o", work / f"{mode}.pfw.gz", "true", env=given)
        assert done.returncode == status, done.stderr
