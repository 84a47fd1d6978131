"""An ordinary user records commands: the signing service signs, the service of runs traces."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from shutil import copy2
from typing import TYPE_CHECKING

import pytest

from datacrumbs.client import launcher
from datacrumbs.testing import read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests
from .conftest import COMMANDS, NOBODY
from .workloads import writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel

BOUND = 300.0
USER = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
SITE = "capture_probes:\n  - provider: sys\n    preset: data\n"


class Service:
    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.begin()

    def begin(self) -> None:
        command = [COMMANDS / "datacrumbs_runs", "--prefix", self.installation.prefix]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        first = self.process.stderr.readline()
        assert "ready on" in first, first

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.stderr.close()
        self.process.wait(BOUND)

    def left(self) -> list[str]:
        """What is in the directory of runs."""
        return sorted(path.name for path in (self.installation.prefix / "run/datacrumbs/runs").iterdir())


@pytest.fixture
def service(installation: Installation) -> Iterator[Service]:
    served = Service(installation)
    yield served
    served.end()


@pytest.fixture
def place(shared_directory: Path) -> Path:
    """Where the user is."""
    directory = Path(tempfile.mkdtemp(prefix="recorded-", dir=shared_directory))
    os.chown(directory, NOBODY, NOBODY)
    (directory / "site.yaml").write_text(SITE)
    return directory


def record(installation: Installation, place: Path, *words: str | Path) -> list[str | Path]:
    options = ["--prefix", installation.prefix, "--site", place / "site.yaml", "-o", place / "t.pfw.gz"]
    return [COMMANDS / "datacrumbs_record", *options, *words]


def written(trace: Path) -> int:
    return sum(call["args"]["ret"] == 7 for call in read_lines(trace).named("write"))


def test_a_user_records_a_command(installation: Installation, service: Service, place: Path) -> None:
    command = record(installation, place, "--no-report", "--", *writes(211, 7))
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, **USER)
    assert (done.returncode, done.stdout) == (0, "")
    assert "every call accounted for" in done.stderr, done.stderr
    trace = place / "t.pfw.gz"
    assert written(trace) == 211
    assert (trace.stat().st_uid, stat.S_IMODE(trace.stat().st_mode)) == (NOBODY, 0o600)
    assert service.left() == []
    traces = installation.prefix / "var/log/datacrumbs/nobody"
    assert list(traces.rglob("probes-run-*")) == []


# A launcher that no run of the service has a probe on, as of another installation.
FOREIGN = """
import sys
from pathlib import Path
from datacrumbs.commands import _record_session
from datacrumbs.commands._main import main
from datacrumbs.commands.record import COMMAND
_record_session.launcher = lambda: Path(sys.argv[1])
sys.exit(main(COMMAND, sys.argv[2:]))
"""


@pytest.mark.parametrize(("options", "status"), [((), 125), (("--best-effort",), 0)])
def test_a_command_that_the_service_would_not_see_is_not_run_for_nothing(
    installation: Installation, service: Service, place: Path, options: tuple[str, ...], status: int
) -> None:
    for name in ("bin/datacrumbs_wrap", "lib/datacrumbs/libdatacrumbs_client.so"):
        (place / name).parent.mkdir(parents=True)
        copy2(launcher().parents[1] / name, place / name)
    (place / "bin").chmod(0o755)
    words = record(installation, place, *options, "--", "/bin/sh", "-c", "echo ran; exit 0")[1:]
    command = [sys.executable, "-c", FOREIGN, place / "bin/datacrumbs_wrap", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, **USER)
    assert (done.returncode, done.stdout) == (status, "" if status else "ran\n"), done.stderr
    assert ("use the commands of the installation that the service belongs to" in done.stderr) == (status == 125)
    assert (place / "t.pfw.gz").exists() == (not status)
    assert service.left() == []


def test_a_command_may_end_as_one_that_was_not_run(installation: Installation, service: Service, place: Path) -> None:
    """Also one of which no call is recorded."""
    (place / "nothing.yaml").write_text("capture_probes:\n  - provider: sys\n    functions: sync_file_range\n")
    command = record(installation, place, "--site", place / "nothing.yaml", "--", "/bin/sh", "-c", "exit 125")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, **USER)
    assert (done.returncode, "sees no program" in done.stderr) == (125, False), done.stderr
    assert (place / "t.pfw.gz").exists(), done.stderr


def test_a_service_restarted_under_a_command_loses_no_call(
    installation: Installation, service: Service, place: Path
) -> None:
    go = place / "go"
    os.mkfifo(go, 0o600)
    os.chown(go, NOBODY, NOBODY)
    script = f"{' '.join(writes(101, 7))}; read word <{go}; {' '.join(writes(109, 7))}"
    command = record(installation, place, "--no-report", "--", "sh", "-c", f"echo begun; {script}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place, **USER) as run:
        begun = run.stdout.readline()
        if begun != "begun\n":
            pytest.fail(run.stderr.read())
        service.end(signal.SIGKILL)
        service.begin()
        go.write_text("go\n")
        said = run.communicate(timeout=BOUND)[1]
    assert run.returncode == 0
    assert "every call accounted for" in said, said
    assert written(place / "t.pfw.gz") == 210
    assert service.left() == []


def test_a_recording_that_is_killed_ends_its_run(installation: Installation, service: Service, place: Path) -> None:
    command = record(installation, place, "--no-report", "--", "sh", "-c", "echo begun; exec sleep 600")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=place, start_new_session=True, **USER) as run:
        assert run.stdout.readline() == "begun\n"
        assert len(service.left()) == 2
        os.killpg(run.pid, signal.SIGKILL)
    until(lambda: service.left() == [])


@contextmanager
def waiting(script: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A shell that goes on with a script when it is told to."""
    words = ["sh", "-c", f"{' '.join(writes(29, 7))}; echo; read go; {script}"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", **options
    ) as process:
        assert process.stdout.readline() == "\n"
        yield process
        process.communicate("\n" if process.poll() is None else None, timeout=BOUND)


def test_a_user_records_a_process_that_runs_already(installation: Installation, service: Service, place: Path) -> None:
    with waiting("; ".join(" ".join(writes(count, 7)) for count in (101, 109)), **USER) as process:
        command = record(installation, place, "--no-report", "-p", str(process.pid))
        recorder = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=place, **USER)
        first = recorder.stderr.readline()
        assert f"recording process {process.pid} until it ends" in first, first + recorder.stderr.read()
    said = recorder.communicate(timeout=BOUND)[1]
    assert (recorder.returncode, "every call accounted for" in said) == (0, True), said
    trace = place / "t.pfw.gz"
    assert written(trace) == 210
    assert (trace.stat().st_uid, stat.S_IMODE(trace.stat().st_mode)) == (NOBODY, 0o600)
    assert service.left() == []


def test_a_user_records_no_process_of_others(installation: Installation, service: Service, place: Path) -> None:
    signed = place / "probes.json.gz"
    made = installation.command("datacrumbs_probe_configurator", place / "site.yaml", signed, cwd=place, **USER)
    assert made.returncode == 0, made.stderr
    with waiting("true") as process:
        for words, why in (
            ((), f"process {process.pid} cannot be looked at"),
            (("--probe-file", signed), f"process {process.pid} is not yours, by each of its user ids"),
        ):
            command = record(installation, place, *words, "-p", str(process.pid))
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, **USER)
            assert (done.returncode, done.stdout, why in done.stderr) == (125, "", True), done.stderr
            assert not (place / "t.pfw.gz").exists()
            until(lambda: service.left() == [])
