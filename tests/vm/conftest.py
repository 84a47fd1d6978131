"""Tests on other kernels: those marked `guest` run inside virtual machines, all of a machine in one boot.

The mark names the machines (`guests.py`); without a name it is the default one. On the host such a
test is one item for each, which shows what became of it there. In the guest, this file provides what
the tests ask for: one engine on the guest's kernel for all of them.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.usdt_entries import usdt_functions
from datacrumbs.elf.functions import elf_target
from datacrumbs.elf.usdt import usdt_probes
from datacrumbs.model.plan import Attach, Group, Plan
from datacrumbs.provider import Host
from datacrumbs.testing import Installation

from ..kernel.conftest import (  # noqa: F401, TID252 - fixtures of the kernel tests, for this kernel too
    Tracer,
    build,
    configuration,
    engine_state,
    layer,
    layer_group,
    lives,
    system_call_group,
)
from . import machine
from .guests import DEFAULT, GUESTS
from .packages import GuestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.system import SystemConfiguration

    from .guests import Guest

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
SHARED = Path("/run/guest")
IN_GUEST = "DATACRUMBS_IN_GUEST" in os.environ
_SECONDS = 2400.0  # a compilation that takes 3 s on the host takes more than a minute by emulation


class GuestItem(pytest.Item):
    """A test that runs in a guest, by its name; the first one boots it for all."""

    guest: Guest
    test: str

    @classmethod
    def of(cls, item: pytest.Item, guest: Guest) -> GuestItem:
        """The item for this test in this guest."""
        made: GuestItem = cls.from_parent(item.parent, name=f"{item.name}@{guest.name}")
        made.guest, made.test = guest, item.nodeid
        made.own_markers = [*item.own_markers, pytest.mark.timeout(0).mark]  # the boot has its own limit
        return made

    def runtest(self) -> None:
        reason = machine.missing(self.guest)
        if reason:
            pytest.skip(reason)
        run = _run(self.session, self.guest)
        reports = run.reports.get(self.test)
        if not reports:
            raise GuestError(f"the guest's run ended before this test:\n{run.output[-4000:]}")
        for report in reports:
            if report["outcome"] == "skipped":
                pytest.skip(report["text"])
            if report["outcome"] == "failed":
                raise GuestError(f"in the guest, {report['when']}:\n{report['text']}\n{report['printed']}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> object:
        if isinstance(excinfo.value, GuestError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.name} (guest)"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "guest(*names): runs inside these virtual machines; needs root")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if IN_GUEST:
        return
    items[:] = [each for item in items for each in _in_guests(item)]


def _in_guests(item: pytest.Item) -> list[pytest.Item]:
    mark = item.get_closest_marker("guest") if item.path.is_relative_to(HERE) else None
    if mark is None:
        return [item]
    return [GuestItem.of(item, GUESTS[name]) for name in mark.args or (DEFAULT,)]


# In the guest: each phase of each test as a line of the shared file, so that a crash loses nothing.
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not IN_GUEST or (report.when != "call" and report.passed):
        return
    text = str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else report.longreprtext
    line = {
        "test": report.nodeid,
        "when": report.when,
        "outcome": report.outcome,
        "text": text,
        "printed": report.capstdout + report.capstderr,
    }
    with (SHARED / "reports").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@dataclass
class GuestRun:
    """What became of the tests in one guest: its reports by test, and what it printed."""

    reports: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    output: str = ""


_RUNS = pytest.StashKey[dict[str, GuestRun]]()


def _run(session: pytest.Session, guest: Guest) -> GuestRun:
    runs = session.stash.setdefault(_RUNS, {})
    if guest.name not in runs:
        runs[guest.name] = GuestRun()  # should the guest fail, it is not tried again for each test
        cache = session.config.rootpath / ".cache/vm"
        cache.mkdir(parents=True, exist_ok=True)
        shared = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
        try:
            names = [item.test for item in session.items if isinstance(item, GuestItem) and item.guest == guest]
            runs[guest.name] = _run_all(guest, names, cache, shared)
        except GuestError as error:
            runs[guest.name].output = str(error)
            raise
        finally:
            shutil.rmtree(shared)
    return runs[guest.name]


def _run_all(guest: Guest, names: list[str], cache: Path, shared: Path) -> GuestRun:
    (shared / "names").write_text("\n".join(names), encoding="utf-8")
    prepare = f"sh tests/vm/prepare.sh {shlex.quote(sys.prefix)} && " if guest.own_root else ""
    command = (
        f"cd {shlex.quote(str(machine.CHECKOUT))} && {prepare}export DATACRUMBS_IN_GUEST={guest.name} HOME=/root"
        f" PYTHONDONTWRITEBYTECODE=1 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"{shlex.quote(sys.executable)} -m pytest -p no:cacheprovider --timeout 0 -v @/run/guest/names"
    )
    output = machine.run_in_guest(guest, cache, command, shared, seconds=_SECONDS)
    run = GuestRun(output=output.text)
    path = shared / "reports"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        report = json.loads(line)
        run.reports.setdefault(report["test"], []).append(report)
    return run


@pytest.fixture(scope="session")
def guest() -> Guest:
    """The machine that the tests run in."""
    return GUESTS[os.environ["DATACRUMBS_IN_GUEST"]]


@pytest.fixture(scope="session")
def installation(shared_directory: Path) -> Iterator[Installation]:
    """An installation whose daemons may take the time that compiling takes there."""
    prefix = shared_directory / "installation"
    prefix.mkdir(mode=0o755)
    made = Installation(prefix, patience_seconds=_SECONDS)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def kernel_groups() -> tuple[Group, ...]:
    """What the provider `sys` finds to probe inside this kernel: functions and trace events."""
    import datacrumbs_sys as provider

    host = Host(os.uname().release, os.uname().machine)
    options = {"groups": ("vfs", "pagecache", "ext4", "block"), "events": provider.EVENTS}
    return tuple(
        Group("sys", target.label, target.attach, target.target, provider.datacrumbs_functions(target, options))
        for target in provider.datacrumbs_targets(host, options)
        if target.attach in {Attach.KPROBE, Attach.TRACEPOINT}
    )


@pytest.fixture(scope="session")
def usdt_program(build: Callable[..., Path]) -> Path:  # noqa: F811
    """A program with USDT probes."""
    return build("usdt.c")


@pytest.fixture(scope="session")
def tracer(
    layer: Path,  # noqa: F811
    usdt_program: Path,
    kernel_groups: tuple[Group, ...],
    engine_state: Path,  # noqa: F811
    configuration: SystemConfiguration,  # noqa: F811
) -> Iterator[Tracer]:
    """One engine for all tests of the guest: system calls, a library, USDT probes, kernel functions, trace events."""
    probes = tuple(usdt_functions(usdt_probes(usdt_program), "USDT", print))
    marked = Group("site", "usdt", Attach.USDT, elf_target(usdt_program), probes)
    groups = (system_call_group(), layer_group(layer), marked, *kernel_groups)
    tracer = Tracer(Plan((), groups), engine_state, configuration)
    yield tracer
    tracer.engine.close()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile one of the programs of these tests, statically: the loader makes no calls then."""
    directory = tmp_path_factory.mktemp("guest_programs")

    def compile_program(source: str) -> Path:
        output = directory / Path(source).stem
        if not output.exists():
            subprocess.run(["cc", "-O1", "-static", "-pthread", "-o", output, PROGRAMS / source], check=True)
        return output

    return compile_program


@pytest.fixture(scope="session")
def ext4() -> Iterator[Path]:
    """The guest's disk as an ext4 file system, at its mount point."""
    place = Path("/run/ext4")
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", "/dev/vda"], check=True)
    subprocess.run(["mount", "/dev/vda", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)
