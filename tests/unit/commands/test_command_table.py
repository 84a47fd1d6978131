"""What every command gives in every situation that a person, a script or a stranger puts it in: one table."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import distribution
from typing import TYPE_CHECKING

import pytest

from .scripts import COMMANDS, LAUNCHER, SCRIPTS, SECONDS, run

if TYPE_CHECKING:
    from pathlib import Path

DONE, FAILED, USAGE, REFUSED, NOT_RUN, NOT_FOUND = 0, 1, 2, 3, 125, 127

HOSTILE = "\x1b[31m[bold red]x[/]\x9b2J\u202e\r\x07 ü\n{prog}: no"
STEERING = "\x1b\x9b\u202e\r\x07"

NO_ARGUMENT = {
    "datacrumbs": None,  # says how to begin
    "datacrumbs_cluster_setup": USAGE,
    "datacrumbs_completion": USAGE,
    "datacrumbs_doctor": None,  # 0 or 1: what this host lacks
    "datacrumbs_epilog": USAGE,
    "datacrumbs_list": None,  # shows what there is
    "datacrumbs_mark": USAGE,
    "datacrumbs_probe_configurator": USAGE,
    "datacrumbs_prolog": USAGE,
    "datacrumbs_record": USAGE,
    "datacrumbs_report": None,  # of the last trace
    "datacrumbs_run": USAGE,
    "datacrumbs_runs": None,  # serves until it is stopped
    "datacrumbs_salloc": USAGE,
    "datacrumbs_sbatch": USAGE,
    "datacrumbs_service_wrapper": USAGE,
    "datacrumbs_setup": None,  # sets this host up
    "datacrumbs_sign_probes": None,  # serves until it is stopped
    "datacrumbs_srun": USAGE,
    "datacrumbs_stop": USAGE,
    "datacrumbs_top": None,  # of the last run that goes on
    "datacrumbs_track": USAGE,
    "datacrumbs_trust": USAGE,
    "datacrumbs_untrack": USAGE,
    LAUNCHER: USAGE,
}
MISSING = "{tmp}/{file}"
# What is not there, and the exit status: an input that is missing is wrong use, whichever command it was for.
ABSENT = [
    ("datacrumbs", [MISSING, "run"], USAGE),
    ("datacrumbs_mark", [MISSING], USAGE),
    ("datacrumbs_probe_configurator", [MISSING, "{tmp}/out"], USAGE),
    ("datacrumbs_probe_configurator", ["--show", MISSING], USAGE),
    ("datacrumbs_probe_configurator", ["--check", MISSING], USAGE),
    ("datacrumbs_probe_configurator", ["--list", "--program", MISSING], USAGE),
    ("datacrumbs_record", ["-n", MISSING], NOT_FOUND),
    ("datacrumbs_report", [MISSING], USAGE),
    ("datacrumbs_setup", ["--prefix", "{tmp}/prefix", "--trust-key", MISSING], USAGE),
    (
        "datacrumbs_cluster_setup",
        ["--stage", "services", "--prefix", "{tmp}/prefix", "--trust-key", MISSING],
        USAGE,
    ),
    ("datacrumbs_track", ["--executable", MISSING], USAGE),
    ("datacrumbs_trust", ["add", "--key", MISSING, "--prefix", "{tmp}/prefix"], USAGE),
    ("datacrumbs_untrack", ["--executable", MISSING], USAGE),
    (LAUNCHER, [MISSING], NOT_FOUND),
]
# Without root: what the command then says.
WITHOUT_RIGHTS = [
    ("datacrumbs", ["/etc/hostname", "run"], REFUSED, "tracing needs root"),
    (
        "datacrumbs_record",
        ["true"],
        NOT_RUN,
        "tracing needs root, and no service of runs answers here\n  hint: sudo datacrumbs record CMD",
    ),
    ("datacrumbs_setup", ["--prefix", "/"], REFUSED, "setting up this host needs root"),
    ("datacrumbs_cluster_setup", ["--stage", "all", "--prefix", "/"], REFUSED, "setting up this host needs root"),
    ("datacrumbs_service_wrapper", ["stop", "x"], REFUSED, "runs of jobs are started by root"),
    ("datacrumbs_sign_probes", ["--prefix", "/"], REFUSED, "runs as root only"),
    ("datacrumbs_runs", [], REFUSED, "runs as root only"),
    ("datacrumbs_report", ["{tmp}/closed.pfw.gz"], USAGE, "cannot be read: Permission denied"),
    ("datacrumbs_track", ["--executable", "{tmp}/closed.pfw.gz"], FAILED, "cannot be read: Permission denied"),
]


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> Path:
    """A trace in which every text is hostile, and every number large."""
    about = {"name": HOSTILE, "symbol": HOSTILE, "category": HOSTILE}

    def metadata(kind: str, /, **arguments: object) -> dict:
        return {"name": kind, "cat": "dftracer", "ph": "M", "pid": 7, "tid": 7, "args": arguments}

    calls = [
        {"name": HOSTILE, "cat": category, "pid": 7, "tid": 7, "ts": 10**15 + 10 * turn, "dur": 5, "ph": "X"}
        | {"args": {"fhash": "f1", "ret": 1, "bytes": 821_567, "symbol": HOSTILE} | failed}
        for turn, (category, failed) in enumerate(
            [(HOSTILE, {}), ("POSIX", {"errno": 2}), ("POSIX", {"errno": 12345}), ("STDIO", {"errno": 0})] * 5
        )
    ]
    rest = {"filtered": 0, "counted": 0, "unmatched": 0, "in_flight": 0}
    lines = [
        metadata("HH", name=HOSTILE, value="00"),
        metadata("datacrumbs_run", user=HOSTILE, run_id=HOSTILE, redacted=HOSTILE, inclusion_path=HOSTILE, part=0),
        metadata("FH", name=f"/data/{HOSTILE}", value="f1"),
        metadata("process_name", name=HOSTILE),
        *calls,
        metadata("datacrumbs_note", event="degraded", begin=1, end=2, calls=3, **about),
        metadata("datacrumbs_counts", entered=9, recorded=2, lost_ring_full=7, **rest, **about),
        metadata(
            "datacrumbs_footer",
            entered=99,
            recorded=20,
            lost_ring_full=79,
            **{f"lost_{HOSTILE}": 1, f"counted_{HOSTILE}": 1},
        ),
    ]
    path = tmp_path_factory.mktemp("hostile") / f"{HOSTILE.replace('/', '')}.pfw.gz"
    path.write_bytes(
        gzip.compress("\n".join(["[", *(json.dumps(line, separators=(",", ":")) for line in lines), "]", ""]).encode())
    )
    return path


def assert_calm(text: str) -> None:
    """Nothing in a text steers a terminal, and nothing was taken for markup."""
    assert not set(text) & set(STEERING), ascii(text)
    assert "Traceback" not in text


@pytest.mark.parametrize(("command", "status"), [row for row in NO_ARGUMENT.items() if row[1] is not None])
def test_no_argument(command: str, status: int) -> None:
    done = run(command)
    assert (done.returncode, done.stdout) == (status, "")
    assert command in done.stderr
    assert_calm(done.stderr)


def test_every_command_has_a_row() -> None:
    assert {*COMMANDS, LAUNCHER} == set(NO_ARGUMENT)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_the_launcher(option: str) -> None:
    done = run(LAUNCHER, option)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert "example:" in done.stdout


@pytest.mark.parametrize("command", [*COMMANDS, LAUNCHER])
@pytest.mark.parametrize("stream", ["closed", "full", "head"])
def test_a_stream_that_takes_nothing(command: str, stream: str) -> None:
    target = {"closed": ">&-", "full": "> /dev/full", "head": "| true"}[stream]
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" --help {target}', SCRIPTS / command],
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert_calm(done.stderr)
    assert done.stdout == ""
    if command == LAUNCHER:  # as any program in C: the signal of a pipe without a reader ends it
        assert done.returncode in {FAILED, 141, DONE}
    elif stream == "head":
        assert (done.returncode, done.stderr) == (DONE, "")
    else:
        why = os.strerror(errno.EBADF if stream == "closed" else errno.ENOSPC)
        assert (done.returncode, done.stderr) == (FAILED, f"{command}: standard output: {why}\n")


@pytest.mark.parametrize("arguments", ["", "--json", "--csv"])
def test_a_reader_of_a_report_that_has_enough(trace: Path, arguments: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" "$1" {arguments} | head -1', SCRIPTS / "datacrumbs_report", trace],
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stdout.count("\n")) == (DONE, 1)
    assert_calm(done.stderr)


def test_a_message_that_cannot_be_told_changes_no_status() -> None:
    done = subprocess.run(
        ["bash", "-c", '"$0" /no/such/file 2>&-', SCRIPTS / "datacrumbs_report"], check=False, timeout=SECONDS
    )
    assert done.returncode == USAGE


@pytest.mark.parametrize(("command", "arguments", "status"), ABSENT, ids=lambda value: str(value)[:40])
def test_what_is_not_there(command: str, arguments: list[str], status: int, tmp_path: Path) -> None:
    hostile = HOSTILE.replace("/", "")
    done = run(command, *(word.replace("{file}", hostile).replace("{tmp}", str(tmp_path)) for word in arguments))
    assert (done.returncode, done.stdout) == (status, "")
    assert "[bold red]x[" in done.stderr
    assert_calm(done.stderr)
    # No line of a hostile name passes for a message.
    assert not any(line.startswith("{prog}") for line in done.stderr.splitlines())
    assert not (tmp_path / "prefix").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize(("command", "arguments", "status", "words"), WITHOUT_RIGHTS)
def test_without_rights(command: str, arguments: list[str], status: int, words: str, shared_directory: Path) -> None:
    closed = shared_directory / "closed.pfw.gz"
    closed.write_bytes(b"")
    closed.chmod(0o600)
    given = [word.replace("{tmp}", str(shared_directory)) for word in arguments]
    done = run(command, *given, user=65534, group=65534, extra_groups=[])
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert_calm(done.stderr)


@pytest.mark.parametrize("view", ["", "function", "file", "channel", "process", "layer", "error"])
@pytest.mark.parametrize("form", ["", "--csv", "--json"])
def test_hostile_names_in_a_report(trace: Path, view: str, form: str) -> None:
    done = run("datacrumbs_report", trace, *(["--by", view] if view else []), *([form] if form else []))
    assert done.returncode == DONE
    assert_calm(done.stdout + done.stderr)
    if view != "channel":
        assert "[bold red]x[" in done.stdout


ENVIRONMENTS = [
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"NO_COLOR": "1"},
    {"TERM": "dumb"},
    {"FORCE_COLOR": "1"},
]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()))
def test_environments(trace: Path, environment: dict[str, str]) -> None:
    done = run("datacrumbs_report", trace, env=environment, encoding="latin-1" if "latin" in str(environment) else None)
    assert done.returncode == DONE
    assert done.stderr == ""
    assert_calm(done.stdout)
    assert ",4107835," in run("datacrumbs_report", trace, "--csv", env=environment).stdout


def on_terminal(command: str, *arguments: object, columns: int = 80, **environment: str) -> str:
    """What a command prints on a terminal of so many columns."""
    own, other = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    given = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR"}}
    process = subprocess.Popen(
        [SCRIPTS / command, *map(str, arguments)], stdin=other, stdout=other, stderr=other,
        env=given | {"TERM": "xterm"} | environment,
    )  # fmt: skip
    os.close(other)
    read = b""
    with suppress(OSError):  # EIO: the other side is closed
        while part := os.read(own, 1 << 16):
            read += part
    os.close(own)
    assert process.wait(SECONDS) == DONE
    return read.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_takes_no_colours(trace: Path, environment: dict[str, str]) -> None:
    assert_calm(on_terminal("datacrumbs_report", trace, columns=200, **environment))


def test_a_terminal_that_takes_colours(trace: Path) -> None:
    text = on_terminal("datacrumbs_report", trace, columns=200)
    assert "\x1b[1mCalls by layer and function\x1b[0m" in text
    assert "\x1b[31m[bold" not in text
    assert not set(text) & (set(STEERING) - {"\x1b"})


@pytest.mark.parametrize("columns", [40, 60, 97, 200])
@pytest.mark.parametrize("view", ["function", "file", "process", "layer", "error"])
def test_no_number_is_cut(trace: Path, view: str, columns: int) -> None:
    narrow = on_terminal("datacrumbs_report", trace, "--by", view, columns=columns, NO_COLOR="1")
    wide = run("datacrumbs_report", trace, "--by", view).stdout
    table = wide.partition("\n\n")[0].splitlines()[2:]
    numbers = [word for line in table for word in line.split() if word.replace(",", "").replace(".", "").isdecimal()]
    assert len(numbers) >= 4
    for number in numbers:
        assert number in narrow.split(), number
    head = narrow.partition("\n\ntrace")[0]
    assert max(map(len, head.splitlines())) <= columns


# ---- Ctrl-C ----

INTERRUPT = """
import os, runpy, signal, sys
event, value, script, *arguments = sys.argv[1:]
def interrupt(name, *given):
    if name == event and any(value in str(each) for each in given):
        os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(name, path=None, target=None):
        if event == "import" and name == value:
            os.kill(os.getpid(), signal.SIGINT)
sys.argv = [script, *arguments]
sys.meta_path.insert(0, Finder)
sys.addaudithook(lambda name, given: name != "import" and interrupt(name, "", *given))
runpy.run_path(script, run_name="__main__")
"""
MOMENTS = [
    ("import", "datacrumbs.commands._registry", True),
    ("import", "datacrumbs.errors", True),
    ("import", "datacrumbs.output", True),
    ("import", "datacrumbs.commands._main", True),
    ("import", "datacrumbs.commands.report", True),
    ("import", "rich.console", True),
    ("import", "polars", True),
    ("import", "polars.dataframe", True),
    ("import", "numpy", True),
    ("import", "datacrumbs.trace.reader", True),
    ("import", "datacrumbs.report.tables", True),
    ("open", ".pfw.gz", True),
    ("fcntl.fcntl", "", False),  # where a trace is not whole
    ("cpython._PySys_ClearAuditHooks", "", False),  # the interpreter ends
]


@pytest.mark.parametrize(("event", "value", "ends"), MOMENTS)
def test_interrupted_at(trace: Path, event: str, value: str, ends: bool) -> None:
    command = [sys.executable, "-c", INTERRUPT, event, value, str(SCRIPTS / "datacrumbs_report"), str(trace)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.stderr == ""
    # By the signal, or by the status that a shell gives for it.
    assert done.returncode in ({-2, 130} if ends else {0, -2, 130})


INTERRUPT_LATER = """
import os, runpy, signal, sys
which, script, *arguments = sys.argv[1:]
class Finder:
    left = None
    def find_spec(name, path=None, target=None):
        if name == "datacrumbs.commands._entry":
            Finder.left = int(which)
        elif Finder.left is not None:
            Finder.left -= 1
            if not Finder.left:
                os.kill(os.getpid(), signal.SIGINT)
sys.argv = [script, *arguments]
sys.meta_path.insert(0, Finder)
runpy.run_path(script, run_name="__main__")
"""


# One after another, until the command has ended by itself.
@pytest.mark.parametrize("words", [["datacrumbs_list"], ["datacrumbs", "help"], ["datacrumbs_record", "--dry-run"]])
def test_interrupted_at_what_it_imports(words: list[str]) -> None:
    for which in (1, 2, 3, 5, 7, 11, 17, 29, 53, 101, 199, 397, 797):
        command = [sys.executable, "-c", INTERRUPT_LATER, str(which), str(SCRIPTS / words[0]), *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        if done.returncode not in {-2, 130}:
            break
        assert (done.stdout, done.stderr) == ("", "")
    assert which > 7


@pytest.mark.parametrize("command", COMMANDS)
def test_interrupted_while_it_starts(command: str) -> None:
    module = {"datacrumbs": "daemon"}.get(command, command.removeprefix("datacrumbs_"))
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT, "import", f"datacrumbs.commands.{module}", str(SCRIPTS / command), "--help"],
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (-2, "", "")


# ---- a directory that is gone, a prefix ----


@pytest.mark.parametrize(("command", "arguments"), [("datacrumbs_report", ["trace"]), ("datacrumbs_trust", ["list"])])
def test_in_a_directory_that_is_gone(command: str, arguments: list[str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    done = subprocess.run(
        ["bash", "-c", 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"', gone, SCRIPTS / command, *arguments],
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == (USAGE if command == "datacrumbs_report" else DONE)
    assert "Traceback" not in done.stderr


def test_advice_is_for_the_installation_that_was_asked_about(tmp_path: Path) -> None:
    prefix = tmp_path / "my place"
    done = run("datacrumbs_sign_probes", "--prefix", prefix)
    assert f"hint: run datacrumbs_setup --prefix '{prefix}' --stage login as root" in done.stderr
    checks = json.loads(run("datacrumbs_doctor", "--json", "--prefix", prefix).stdout)["checks"]
    fixes = " ".join(check["fix"] for check in checks)
    assert f"datacrumbs_sign_probes --prefix '{prefix}'" in fixes
    assert "systemctl start datacrumbs_sign_probes" not in fixes


# ---- options that commands share ----

WITH_PREFIX = ["datacrumbs", "datacrumbs_cluster_setup", "datacrumbs_doctor", "datacrumbs_epilog", "datacrumbs_list",
               "datacrumbs_probe_configurator", "datacrumbs_prolog",
               "datacrumbs_record", "datacrumbs_run", "datacrumbs_runs", "datacrumbs_service_wrapper",
               "datacrumbs_setup", "datacrumbs_sign_probes",
               "datacrumbs_stop", "datacrumbs_top", "datacrumbs_trust"]  # fmt: skip
DRY_RUN = [
    ("datacrumbs_setup", []),
    ("datacrumbs_setup", ["--stage", "compute"]),
    ("datacrumbs_cluster_setup", ["--stage", "all"]),
    ("datacrumbs_trust", ["add", "--provider", "posix"]),
    ("datacrumbs_trust", ["revoke", "--user", "root"]),
    ("datacrumbs_trust", ["restore", "--plan", "a" * 64]),
]


def declared() -> list:
    from datacrumbs.commands._registry import COMMANDS, command_named

    return [command_named(name) for name in COMMANDS]


def test_registry_scripts_and_entry_points_agree() -> None:
    handler = signal.getsignal(signal.SIGINT)
    from datacrumbs.commands import _entry

    signal.signal(signal.SIGINT, handler)

    points = distribution("datacrumbs").entry_points.select(group="console_scripts")
    scripts = {point.name: point.value for point in points}
    assert {command.program for command in declared()} == set(scripts)
    for command in declared():
        assert scripts[command.program].startswith("datacrumbs.commands._entry:")
        assert getattr(_entry, scripts[command.program].partition(":")[2]).args == (command.name,)


@pytest.mark.parametrize("command", declared(), ids=lambda command: command.program)
def test_every_command_has_its_work(command) -> None:
    assert callable(command.load())


@pytest.mark.parametrize("command", declared(), ids=lambda command: command.program)
def test_every_command_takes_the_shared_options(command) -> None:
    taken = {option for action in command.parser()._actions for option in action.option_strings}
    shared = {"-q", "--quiet", "-v", "--verbose"}
    assert {"-h", "--help", "-V", "--version"} | (shared if command.has_shared else set()) <= taken
    assert ("--prefix" in taken) == (command.program in WITH_PREFIX)


HEAVY = [
    "bcc", "numpy", "polars", "cryptography", "pluggy", "rich", "yaml", "elftools", "capstone", "asyncio", "subprocess",
]  # fmt: skip


@pytest.mark.parametrize("command", declared(), ids=lambda command: command.program)
def test_help_imports_nothing_heavy(command) -> None:
    code = (
        "import sys; from datacrumbs.commands._entry import start\n"
        f"assert start({command.name!r}) == 0\n"
        f"assert not set({HEAVY!r}) & set(sys.modules), set({HEAVY!r}) & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("command", "arguments"), DRY_RUN, ids=str)
def test_a_dry_run_makes_nothing(command: str, arguments: list[str], tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    done = run(command, *arguments, "-n", "--prefix", prefix)
    assert done.returncode == DONE
    assert "dry run: nothing is changed" in done.stderr
    quiet = run(command, *arguments, "--dry-run", "-q", env={"DATACRUMBS_PREFIX": str(prefix)})
    assert (quiet.returncode, quiet.stderr) == (DONE, "")
    assert not prefix.exists()


def test_the_option_goes_before_the_environment(tmp_path: Path) -> None:
    environment = {"DATACRUMBS_PREFIX": str(tmp_path / "environment")}
    for given, used in (([], "environment"), (["--prefix", tmp_path / "option"], "option")):
        rows = json.loads(run("datacrumbs_setup", "--dry-run", "--json", *given, env=environment).stdout)
        assert all(row["what"].startswith(str(tmp_path / used)) for row in rows)
        shown = run("datacrumbs_trust", *given, "list", "--keys", env=environment)
        assert (shown.returncode, shown.stdout) == (DONE, "")


def test_run_is_for_nodes_when_their_list_is_before_any_command() -> None:
    """Further on, the option may be that of a command to be marked."""
    for words in (("datacrumbs_run",), ("datacrumbs", "run"), ("datacrumbs", "run", "-q", "--run-id", "one")):
        wrong = run(*words, "--node-list=node[1-", "--probe-file", "/probes.json.gz")
        assert wrong.returncode == USAGE
        assert "--node-list 'node[1-': missing bracket" in wrong.stderr
    for options in ((), ("--run-id", "one"), ("--",)):
        marked = run("datacrumbs", "run", *options, "echo", "--node-list", "node1")
        assert (marked.returncode, marked.stdout) == (DONE, "--node-list node1\n")
    assert "datacrumbs_run --help" in run("datacrumbs", "run", "--help").stdout


@pytest.mark.parametrize("words", [(), ("one", "--run-id", "two"), ("--node-list", "node1")])
def test_one_run_is_ended(words: tuple[str, ...]) -> None:
    done = run("datacrumbs_stop", *words)
    assert done.returncode == USAGE
    assert_calm(done.stderr)


@pytest.mark.parametrize("words", [("--login", "root"), ("--sudo",), ("--fan-out", "3"), ("--programs", "/x")])
def test_forgotten_nodes_are_not_this_host(words: tuple[str, ...]) -> None:
    for command in (("datacrumbs_stop", "run"), ("datacrumbs_cluster_setup", "--stage", "all", "--dry-run")):
        done = run(*command, *words)
        assert (done.returncode, done.stdout) == (USAGE, "")
        assert f"{words[0]} needs --node-list" in done.stderr


def test_a_number_of_nodes() -> None:
    done = run("datacrumbs_stop", "run", "--node-list", "node1", "--fan-out", "0")
    assert done.returncode == USAGE
    assert "'0' is not a whole number of 1 or more" in done.stderr


def test_verbose_shows_where_an_error_was_raised(tmp_path: Path) -> None:
    done = run("datacrumbs_report", tmp_path / "missing", "--verbose")
    assert done.returncode == USAGE
    assert 'File "' in done.stderr
    assert_calm(run("datacrumbs_report", tmp_path / "missing").stderr)


def test_quiet_and_verbose_exclude_each_other() -> None:
    done = run("datacrumbs_report", "trace", "-q", "-v")
    assert done.returncode == USAGE
    assert "not allowed with" in done.stderr


@pytest.mark.parametrize("action", ["add", "list", "remove", "verify", "revoke", "restore", "verify-seal"])
def test_help_of_an_action(action: str) -> None:
    done = run("datacrumbs_trust", action, "--help")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert done.stdout.startswith(f"usage: datacrumbs_trust {action} ")


def test_help_names_what_was_typed() -> None:
    for words in (("datacrumbs", "record", "-h"), ("datacrumbs", "help", "record")):
        help_ = run(*words).stdout
        assert help_.startswith("usage: datacrumbs record ")
        assert "sudo datacrumbs record dd if=" in help_
        assert "CMD ARG...\n" in help_.partition("\n\n")[0] + "\n"
    assert run("datacrumbs_record", "-h").stdout.startswith("usage: datacrumbs_record ")


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("reprot", "; did you mean 'report'?"),
        ("re-port", "; did you mean 'report'?"),
        ("recrod2", "; did you mean 'record'?"),
        ("frobnicate", ""),
    ],
)
def test_a_mistyped_command_is_not_taken_for_a_probe_file(tmp_path: Path, word: str, known: str) -> None:
    done = run("datacrumbs", word, "x.pfw.gz", cwd=tmp_path)
    assert done.returncode == 2
    assert f"{word!r} is neither a command nor a probe file{known}" in done.stderr


def test_what_all_commands_share_may_precede_the_verb(tmp_path: Path) -> None:
    for words in (["--prefix", tmp_path, "-q"], [f"--prefix={tmp_path}", "--quiet"]):
        done = run("datacrumbs", *words, "list")
        assert (done.returncode, done.stdout, done.stderr) == (DONE, "", "")
        shown = run("datacrumbs", *words, "probes", "show", tmp_path / "absent")
        assert (shown.returncode, shown.stderr.splitlines()[0]) == (
            USAGE,
            f"datacrumbs_probe_configurator: {tmp_path}/absent: cannot be opened: No such file or directory",
        )
    (tmp_path / "list").touch()
    probes = run("datacrumbs", "-q", f"{tmp_path}/list")
    assert f"{tmp_path}/list: cut short" in probes.stderr


def test_help_of_help() -> None:
    assert run("datacrumbs", "help", "help").stdout == run("datacrumbs", "--help").stdout


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    for words, status, said in (
        ("datacrumbs_record -n true", NOT_RUN, "datacrumbs_record: the working directory: No such file or directory"),
        (f"datacrumbs_list -q --prefix {tmp_path}", DONE, ""),
    ):
        script = f"mkdir gone; cd gone; rmdir ../gone; exec {SCRIPTS}/{words}"
        done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr.partition("\n")[0]) == (status, "", said)
