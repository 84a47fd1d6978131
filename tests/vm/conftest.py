"""Tests on another kernel: those marked `guest` run inside a virtual machine, all in one boot.

On the host such a test is one item that shows what became of it in the guest. There, this file
provides what the tests ask for: one engine on the guest's kernel for all of them.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.usdt_entries import usdt_functions
from datacrumbs.discovery.elf import elf_target
from datacrumbs.discovery.usdt import usdt_probes
from datacrumbs.probefile.plan import Attach, Group, Plan
from datacrumbs.provider import Host

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.system import SystemConfiguration

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
SHARED = Path("/run/guest")
IN_GUEST = "DATACRUMBS_IN_GUEST" in os.environ
_SECONDS = 1500.0  # a compilation that takes 3 s on the host takes more than a minute by emulation


class GuestItem(pytest.Item):
    """A test that runs in the guest, by its name; the first one boots it for all."""

    def runtest(self) -> None:
        reason = machine.missing()
        if reason:
            pytest.skip(reason)
        reports = _reports(self.session).get(self.nodeid)
        if not reports:
            raise machine.GuestError(f"the guest's run ended before this test:\n{_output(self.session)[-4000:]}")
        for report in reports:
            if report["outcome"] == "skipped":
                pytest.skip(report["text"])
            if report["outcome"] == "failed":
                raise machine.GuestError(f"in the guest, {report['when']}:\n{report['text']}\n{report['printed']}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> object:
        if isinstance(excinfo.value, machine.GuestError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.name} (guest)"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "guest: runs inside a virtual machine with another kernel; needs root")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if IN_GUEST:
        return
    for index, item in enumerate(items):
        if item.path.is_relative_to(HERE) and item.get_closest_marker("guest"):
            replacement = GuestItem.from_parent(item.parent, name=item.name)
            replacement.own_markers = [*item.own_markers, pytest.mark.timeout(0).mark]  # the boot has its own limit
            items[index] = replacement


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


_RESULTS = pytest.StashKey[dict[str, list[dict[str, str]]]]()
_OUTPUT = pytest.StashKey[str]()


def _reports(session: pytest.Session) -> dict[str, list[dict[str, str]]]:
    if _RESULTS not in session.stash:
        session.stash[_RESULTS] = {}  # should the guest fail, it is not tried again for each test
        session.stash[_RESULTS] = _run_all(session)
    return session.stash[_RESULTS]


def _output(session: pytest.Session) -> str:
    return session.stash.get(_OUTPUT, "no guest ran")


def _run_all(session: pytest.Session) -> dict[str, list[dict[str, str]]]:
    root = session.config.rootpath
    kernel = machine.provide_kernel(root / ".cache/vm")
    shared = Path(tempfile.mkdtemp(prefix="run-", dir=root / ".cache/vm"))
    try:
        return _results_of(session, kernel, shared)
    finally:
        shutil.rmtree(shared)


def _results_of(session: pytest.Session, kernel: machine.GuestKernel, shared: Path) -> dict[str, list[dict[str, str]]]:
    root = session.config.rootpath
    names = [item.nodeid for item in session.items if isinstance(item, GuestItem)]
    (shared / "names").write_text("\n".join(names), encoding="utf-8")
    command = (
        f"cd {shlex.quote(str(root))} && export DATACRUMBS_IN_GUEST=1 PYTHONDONTWRITEBYTECODE=1 HOME=/root"
        f" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"{shlex.quote(sys.executable)} -m pytest -p no:cacheprovider --timeout 0 -v @/run/guest/names"
    )
    output = machine.run_in_guest(kernel, command, shared, seconds=_SECONDS)
    session.stash[_OUTPUT] = output.text
    reports: dict[str, list[dict[str, str]]] = {}
    path = shared / "reports"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        report = json.loads(line)
        reports.setdefault(report["test"], []).append(report)
    return reports


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
