"""Files that programs map while a run goes on, under other names than the plan has."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs import client
from datacrumbs.elf.functions import elf_functions
from datacrumbs.testing import read_lines

from ..waiting import state_of, until  # noqa: TID252 - helpers of all tests
from .conftest import COMMANDS, NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from datacrumbs.testing import Installation, RunningDaemon, TraceLines

pytestmark = pytest.mark.kernel

BEFORE, AFTER, AGAIN = 23, 29, 31
CALLS = {"late_first": BEFORE, "late_then": AFTER}
SECONDS = 300.0
ORDINARY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
# As late.c, in Python; the mark comes when the library is mapped already, if a client library is given.
PYTHON = """
import ctypes, sys
late = ctypes.CDLL(sys.argv[1])
if len(sys.argv) > 4:
    ctypes.CDLL(sys.argv[4]).datacrumbs_start()
print(sum(late.late_first(0) for _ in range(int(sys.argv[2]))), flush=True)
sys.stdin.readline()
print(sum(late.late_then(0) for _ in range(int(sys.argv[3]))), flush=True)
"""


@pytest.fixture
def place(shared_directory: Path) -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory(dir=shared_directory) as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def library(place: Path, build: Callable[..., Path]) -> Path:
    """The plan's library; it can be copied."""
    made = build("late_library.c", "-shared", "-fPIC", "-fno-omit-frame-pointer", "-Wl,--build-id", name="liblate.so")
    (place / "lib").mkdir()
    return Path(shutil.copy(made, place / "lib/liblate.so"))


@pytest.fixture
def late(place: Path, build: Callable[..., Path]) -> Path:
    return Path(shutil.copy(build("late.c", "-ldl"), place / "late"))


@pytest.fixture
def probes(installation: Installation, library: Path) -> Path:
    return installation.probes(site_of(library))


def site_of(library: Path) -> str:
    entry = f'{{name: late, probe: uprobe, type: binary, file: "{library}", regex: "late_(first|then)"}}'
    return f"capture_probes:\n  - {entry}\n"


def copy_of(library: Path, place: str) -> Path:
    other = library.parent.parent / place
    other.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(library, other))


def notes(trace: TraceLines, event: str) -> list[Mapping[str, Any]]:
    lines = [line["args"] for line in trace.metadata if line["name"] == "datacrumbs_note"]
    return [note for note in lines if note["event"] == event]


def wait_for(daemon: RunningDaemon, text: str, times: int = 1) -> None:
    until(lambda: daemon.log.read_text().count(text) >= times, daemon.log.read_text)


# A program that has opened its library and made its first calls, and makes the others when its block ends.
@contextmanager
def waiting(*command: str | Path, traced: bool = True, **options: Any) -> Iterator[subprocess.Popen[str]]:
    wrap = [COMMANDS / "datacrumbs_wrap"] if traced else []
    with subprocess.Popen([*wrap, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options) as it:
        try:
            assert it.stdout
            assert it.stdout.readline() == f"{BEFORE}\n"
            yield it
        finally:
            assert it.communicate("\n", SECONDS)[0] == f"{AFTER}\n"
        assert it.returncode == 0


def arguments(library: Path | str, before: int = BEFORE, after: int = AFTER) -> list[str]:
    return [str(library), str(before), str(after)]


# What was called before the probes were there may be missing; everything later is there, and the trace says since when.
def check_late(trace: TraceLines, file: Path | str, later: int = AFTER) -> None:
    (note,) = notes(trace, "probed_late")
    assert (note["file"], note["provider"], note["functions"]) == (str(file), "site", 2)
    assert trace.footer["files_late"] == 1
    assert note["begin"] < note["end"]
    assert len(trace.named("late_then")) == trace.counts["late_then"]["entered"] == later
    assert len(trace.named("late_first")) <= BEFORE
    assert all(call["ts"] >= note["end"] for call in trace.named("late_then"))
    assert not notes(trace, "not_probed")


# Of a file whose probes were there from the first call.
def check_all(trace: TraceLines) -> None:
    assert {name: len(trace.named(name)) for name in ("late_first", "late_then")} == CALLS
    assert trace.footer["entered"] == sum(CALLS.values())
    assert (trace.footer["files_late"], trace.footer["files_not_probed"]) == (0, 0)


@pytest.mark.parametrize("method", ["session", "multi", "perf"])
def test_a_copy_opened_late(installation: Installation, probes: Path, library: Path, late: Path, method: str) -> None:
    """Exact from the note's end on, and for whoever maps it later from the first call."""
    other = copy_of(library, "other/libanother.so.3")
    with installation.daemon(probes, arguments=["--attach-method", method]) as daemon:
        with waiting(late, *arguments(other)):
            wait_for(daemon, "probed late")
        done = daemon.wrap(late, *arguments(other, 0, AGAIN), input="\n", text=True, capture_output=True)
        assert done.stdout == f"0\n{AGAIN}\n"
        trace = daemon.lines()
    check_late(trace, other, AFTER + AGAIN)


def test_usdt_places_of_a_copy(installation: Installation, library: Path, late: Path) -> None:
    other = copy_of(library, "other/libplaces.so")
    entry = f"{{name: late, probe: usdt, type: usdt, binary_path: {library}, provider: late, regex: then}}"
    with installation.daemon(installation.probes(f"capture_probes:\n  - {entry}\n")) as daemon:
        with waiting(late, *arguments(other)):
            wait_for(daemon, "probed late")
        trace = daemon.lines()
    assert len(trace.named("then")) == trace.footer["entered"] == AFTER
    assert notes(trace, "probed_late")[0]["functions"] == 1


def test_the_plans_own_file_is_exact_from_the_first_call(
    installation: Installation, probes: Path, library: Path, late: Path
) -> None:
    with installation.daemon(probes) as daemon:
        with waiting(late, *arguments(library)):
            pass
        trace = daemon.lines()
    check_all(trace)


def test_a_copy_opened_by_ctypes(installation: Installation, probes: Path, library: Path) -> None:
    other = copy_of(library, "site-packages/late.libs/liblate-3fd74b7.so.3")
    with installation.daemon(probes) as daemon:
        with waiting(sys.executable, "-c", PYTHON, *arguments(other)):
            wait_for(daemon, "probed late")
        trace = daemon.lines()
    check_late(trace, other)


def test_a_process_that_runs_already(installation: Installation, probes: Path, library: Path) -> None:
    """Its mappings are looked at when the mark comes."""
    other = copy_of(library, "other/liblate.so")
    with installation.daemon(probes) as daemon:
        command = [sys.executable, "-c", PYTHON, *arguments(other), client.client_library()]
        with waiting(*command, traced=False):
            wait_for(daemon, "probed late")
        trace = daemon.lines()
    check_late(trace, other)


# A directory with all that the program needs.
def make_root(root: Path, late: Path, library: Path) -> Path:
    listed = subprocess.run(["ldd", late], capture_output=True, text=True, check=True).stdout.split()
    for file in [word for word in listed if word.startswith("/")]:
        copy = root / file[1:]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    shutil.copy(late, root / "late")
    shutil.copy(library, root / "liblate.so.9")
    return root


def test_a_root_of_its_own(installation: Installation, probes: Path, library: Path, late: Path) -> None:
    root = make_root(library.parent.parent / "root", late, library)
    with installation.daemon(probes) as daemon:
        with waiting(shutil.which("chroot") or "", root, "/late", *arguments("/liblate.so.9")):
            wait_for(daemon, "probed late")
        trace = daemon.lines()
    check_late(trace, notes(trace, "probed_late")[0]["file"])
    assert notes(trace, "probed_late")[0]["file"].endswith("/liblate.so.9")


@pytest.fixture
def users_probes(installation: Installation, place: Path, library: Path) -> Path:
    """A probe file of an ordinary user."""
    own = place / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    site, made = own / "site.yaml", own / "late.json.gz"
    site.write_text(site_of(library))
    command = [COMMANDS / "datacrumbs_probe_configurator", "--prefix", installation.prefix, site, made]
    subprocess.run(command, check=True, capture_output=True, cwd="/", **ORDINARY)
    return made


@pytest.mark.parametrize("way", ["plain", "namespace"])
def test_an_ordinary_user(installation: Installation, users_probes: Path, library: Path, late: Path, way: str) -> None:
    """With a copy of the user's own that others may not read; also in a container without root's help."""
    root = make_root(library.parent.parent / "root", late, library)
    other = root / "liblate.so.9"
    os.chown(other, NOBODY, NOBODY)
    other.chmod(0o700)
    command: list[str | Path] = [late, *arguments(other)]
    if way == "namespace":
        unshare, chroot = (shutil.which(name) or "" for name in ("unshare", "chroot"))
        command = [unshare, "-Ur", "--mount", chroot, root, "/late", *arguments("/liblate.so.9")]
    with installation.daemon(users_probes) as daemon:
        with waiting(*command, cwd="/", **ORDINARY):
            wait_for(daemon, "probed late")
        trace = daemon.lines()
    check_late(trace, notes(trace, "probed_late")[0]["file"])


# The build-id of the plan's, and one more byte in the page in which the probe is.
def alter(file: Path) -> None:
    (function,) = [function for function in elf_functions(file) if function.name == "late_then"]
    with file.open("r+b") as stream:
        stream.seek(function.offset | mmap.PAGESIZE - 1)
        stream.write(b"\x01")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("owner", "owned by uid 4711"),
        ("writable", "writable by all users"),
        ("altered", "it differs from the signed file where probes are"),
        ("overlay", "an overlay that is mounted in a namespace of its own"),
    ],
)
def test_what_is_refused(  # noqa: PLR0917 - fixtures
    installation: Installation, users_probes: Path, library: Path, late: Path, kind: str, reason: str
) -> None:
    """The same rules as for targets; the trace says what it misses."""
    other = copy_of(library, "other/libcopy.so")
    command: list[str | Path] = [late, *arguments(other)]
    if kind == "owner":
        os.chown(other, 4711, 4711)
    elif kind == "writable":
        other.chmod(0o777)
    elif kind == "altered":
        alter(other)
    else:
        command = in_own_overlay(other.parent, command)
    with installation.daemon(users_probes) as daemon:
        with waiting(*command, cwd="/", **ORDINARY):
            wait_for(daemon, "not probed: ")
        trace = daemon.lines()
    (note,) = notes(trace, "not_probed")
    assert reason in note["reason"]
    assert note["file"] == str(other)
    assert (trace.footer["files_not_probed"], trace.footer["files_late"], trace.footer["entered"]) == (1, 0, 0)


def in_own_overlay(lower: Path, command: list[str | Path]) -> list[str | Path]:
    script = f'mount -t overlay -o lowerdir={lower}:{lower.parent}/lib overlay {lower} && exec "$@"'
    return [shutil.which("unshare") or "", "-Ur", "--mount", "/bin/sh", "-c", script, "sh", *command]


def test_another_version_of_a_library(installation: Installation, probes: Path, library: Path, late: Path) -> None:
    """The plan does not have it: the trace says so, and is not called complete."""
    other = copy_of(library, "other/liblate.so.4")
    source = (Path(__file__).parent / "programs/late_library.c").read_text() + "long late_more(void) { return 5; }\n"
    flags = ["-O1", "-shared", "-fPIC", "-Wl,--build-id", "-x", "c", "-"]
    subprocess.run(["cc", *flags, "-o", other], input=source, text=True, check=True)
    with installation.daemon(probes) as daemon:
        with waiting(late, *arguments(other)):
            wait_for(daemon, "not probed: ")
        assert daemon.stop() == 0
    trace = read_lines(daemon.trace)
    (note,) = notes(trace, "not_probed")
    assert (note["file"], note["provider"], note["reason"]) == (str(other), "site", "the plan does not have it")
    report = subprocess.run([COMMANDS / "datacrumbs_report", daemon.trace], capture_output=True, text=True, check=True)
    assert f"{daemon.trace}: 1 library of the selected providers was not probed" in report.stdout + report.stderr
    assert "complete" not in report.stdout
    assert str(other) in report.stdout


@pytest.mark.parametrize("copied", [False, True])
def test_an_overlay(installation: Installation, probes: Path, library: Path, late: Path, *, copied: bool) -> None:
    """What an overlay shows is the file below it until that is copied: never probed twice."""
    place = library.parent.parent
    for name in ("upper", "work", "merged"):
        (place / name).mkdir()
    options = f"lowerdir={library.parent},upperdir={place}/upper,workdir={place}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", place / "merged"], check=True)
    try:
        other = place / "merged/liblate.so"
        if copied:
            other.touch()
        with installation.daemon(probes) as daemon:
            with waiting(late, *arguments(other)):
                if copied:
                    wait_for(daemon, "probed late")
            trace = daemon.lines()
    finally:
        # The kernel lets the file of a probe go some time after the probe is gone.
        subprocess.run(["umount", "--lazy", place / "merged"], check=True)
    if copied:
        check_late(trace, other)
    else:
        check_all(trace)


@contextmanager
def configured(installation: Installation, text: str) -> Iterator[None]:
    file = installation.prefix / "etc/datacrumbs/datacrumbs.yaml"
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


def test_as_many_files_as_allowed(installation: Installation, library: Path, late: Path) -> None:
    """The rest is not probed, and the trace says so."""
    with (
        configured(installation, "late_files: 1\n"),
        installation.daemon(installation.probes(site_of(library))) as daemon,
    ):
        for number in range(3):
            other = copy_of(library, f"other/liblate.so.{number}")
            with waiting(late, *arguments(other)):
                wait_for(daemon, "not probed: " if number else "probed late: ", max(1, number))
        trace = daemon.lines()
    assert len(notes(trace, "probed_late")) == trace.footer["files_late"] == 1
    reasons = [note["reason"] for note in notes(trace, "not_probed")]
    assert reasons == ["1 file was probed late; late_files allows no more"] * 2


def test_no_late_files(installation: Installation, probes: Path, library: Path, late: Path) -> None:
    """A site that wants none has no process that looks, and nothing is said."""
    other = copy_of(library, "other/liblate.so")
    with configured(installation, "late_files: 0\n"), installation.daemon(probes) as daemon:
        # What writes, and what keeps root's files; what measures costs ends by itself.
        until(lambda: len(children(daemon)) == 2)
        done = daemon.wrap(late, *arguments(other), input="\n", text=True, capture_output=True)
        assert done.stdout == f"{BEFORE}\n{AFTER}\n"
        trace = daemon.lines()
    assert trace.footer["entered"] == 0
    assert not notes(trace, "not_probed")


def children(daemon: RunningDaemon) -> list[int]:
    found = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    return [child for child in map(int, found) if state_of(child) != "Z"]


def test_the_process_that_looks_is_killed(installation: Installation, probes: Path, library: Path, late: Path) -> None:
    """The run goes on with what it has, and the trace is not called complete."""
    with installation.daemon(probes) as daemon:
        os.kill(children(daemon)[1], signal.SIGKILL)
        wait_for(daemon, "late files are not looked at")
        daemon.wrap(late, *arguments(library), input="\n", text=True, capture_output=True)
        assert daemon.stop() == 0
    trace = read_lines(daemon.trace)
    assert {name: len(trace.named(name)) for name in CALLS} == CALLS
    assert "the process that looks" in notes(trace, "not_probed")[0]["reason"]
    assert trace.footer["files_not_probed"] == 1


def test_what_the_process_that_looks_may(installation: Installation, users_probes: Path) -> None:
    """It is the user's, with the one capability that opens what the user's processes have mapped."""
    with installation.daemon(users_probes) as daemon:
        lines = Path(f"/proc/{children(daemon)[1]}/status").read_text().splitlines()
    status = {line.split(":")[0]: line.split()[1:] for line in lines}
    assert status["Uid"] == [str(NOBODY)] * 4
    assert {int(status[key][0], 16) for key in ("CapPrm", "CapEff")} == {1 << 40}
    assert {int(status[key][0], 16) for key in ("CapInh", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == ["1"]
