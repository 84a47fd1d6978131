"""A real engine on this kernel, one for all tests of a module, and the programs that it traces."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest

from datacrumbs import client
from datacrumbs.configure import Selection, compose, current_host
from datacrumbs.configure.site import ProviderEntry, SiteConfiguration
from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.engine.engine import Engine, Marks
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.engine.ring import Rings
from datacrumbs.kernel.syscalls import system_calls
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, Role, Target
from datacrumbs.model.record import FIRST_KIND, CallFlag, Name, NameKind
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.targets import OpenTargets
from datacrumbs.system import SystemConfiguration
from datacrumbs.testing import Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PROGRAMS = Path(__file__).parent / "programs"
COMMANDS = Path(sysconfig.get_path("scripts"))
NOBODY = 65534
SITE = "capture_probes:\n  - provider: sys\n    preset: default\n"

FD = Argument(0, "fd", "int", Role.FD, 4)
PATH = Argument(0, "path", "const char *", Role.PATH, 8, signed=False)
AT = (Argument(0, "dirfd", "int", Role.DIRFD, 4), replace(PATH, index=1))
COUNT = Argument(2, "count", "size_t", Role.COUNT, 8, signed=False)
CALLS = {
    "read": ("read", (FD, COUNT), Result.BYTES),
    "write": ("write", (FD, COUNT), Result.BYTES),
    "openat": ("open", AT, Result.FD),
    "close": ("close", (FD,), Result.STATUS),
    "openat2": ("open", AT, Result.FD),
    "unlink": ("unlink", (PATH,), Result.STATUS),
    "unlinkat": ("unlink", AT, Result.STATUS),
    "rename": ("rename", (PATH, replace(PATH, index=1, label="newpath")), Result.STATUS),
    "renameat": ("rename", (*AT, replace(AT[0], index=2), replace(PATH, index=3, label="newpath")), Result.STATUS),
    "getppid": ("getppid", (), Result.VALUE),
    "clone": ("clone", (), Result.VALUE),
    "execve": ("execve", (PATH,), Result.STATUS),
}
# What the C library calls where a machine has no such call, as arm64.
AT_INSTEAD = {"unlink": "unlinkat", "rename": "renameat"}
DEFAULT_CALLS = tuple(name for name in CALLS if name not in AT_INSTEAD.values())
LAYER = {
    "layer_add": Result.VALUE,
    "layer_recurse": Result.VALUE,
    "layer_nested": Result.VALUE,
    "layer_leap": Result.VOID,
    "layer_call": Result.VALUE,
    "layer_wait": Result.BYTES,
    "layer_fail": Result.STATUS,
}


@dataclass(frozen=True)
class Trace:
    """What one command left: its calls, and names by identity."""

    plan: Plan
    calls: np.ndarray
    events: np.ndarray
    names: dict[int, Name]
    status: int
    output: str | bytes | None = None

    def named(self, name: str) -> np.ndarray:
        identities = [index for index, function in enumerate(self.plan.functions) if function.name == name]
        return self.calls[np.isin(self.calls["function"], identities)]

    def count(self, name: str) -> int:
        return len(self.named(name))

    def returned(self, name: str) -> int:
        return int((self.named(name)["flags"] & CallFlag.RETURNED != 0).sum())

    def counts(self) -> Counter[str]:
        return Counter(self.plan.functions[index].name for index in self.calls["function"])

    def path(self, identity: int) -> str:
        name = self.names.get(int(identity))
        if name is None:
            return ""
        if name.kind is NameKind.PATH and not name.text.startswith("/") and name.base:
            return f"{self.path(name.base)}/{name.text}"
        return name.text


RUN = f"tracer-{os.getpid()}"
"""What the programs of these tests name: other runs beside them do not get theirs."""


def nobodys_probes(installation: Installation, directory: Path, text: str) -> Path:
    """A probe file that a user without rights composed from the text of a site file."""
    directory.mkdir(exist_ok=True)
    os.chown(directory, NOBODY, NOBODY)
    site, probes = directory / "site.yaml", directory / "mine.json.gz"
    site.write_text(text)
    done = subprocess.run(
        [COMMANDS / "datacrumbs_probe_configurator", "--prefix", installation.prefix, site, probes],
        user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return probes


class Tracer:
    """An attached engine that runs commands and sorts out what they left."""

    def __init__(
        self,
        plan: Plan,
        state: Path,
        configuration: SystemConfiguration,
        attach_method: AttachMethod = AttachMethod.AUTO,
        marks: Marks | None = None,
    ) -> None:
        self.plan = plan
        marks = marks or Marks(os.getuid(), (RUN,))
        self.engine = Engine.load(plan, configuration, marks, state, attach_method=attach_method)
        self.rings = Rings(self.engine.ring_maps)
        self.names: dict[int, Name] = {}
        with OpenTargets(plan) as targets:
            self.report = self.engine.attach(targets, [client.client_library(), client.launcher()])
        self.seen = np.zeros(len(plan.functions), np.int64)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    @property
    def verified(self) -> dict[str, int]:
        """Program -> how many instructions the verifier has followed in it."""
        return {
            name: int(re.search(r"verified_insns:\s*(\d+)", Path(f"/proc/self/fdinfo/{program}").read_text())[1])
            for name, program in self.engine._loaded.loaded().items()
        }

    def drain(self) -> np.ndarray:
        """Everything that is in the rings now."""
        parts = []
        while True:
            batch = self.rings.poll()
            self.names.update({name.identity: name for name in batch.names})
            if not len(batch.calls):
                break
            parts.append(batch.calls)
        calls = np.concatenate(parts) if parts else np.zeros(0, batch.calls.dtype)
        own = calls[calls["function"] < FIRST_KIND]
        self.seen += np.bincount(own["function"], minlength=len(self.seen))
        return calls

    def run(self, *command: str, launcher: Path | None = None, **options: object) -> Trace:
        """Run a command under the launcher to its end; the calls of its processes, in order."""
        self.drain()
        environment = {**(options.pop("env", None) or os.environ), "DATACRUMBS_RUN_ID": RUN}
        done = subprocess.run([launcher or client.launcher(), *command], check=False, env=environment, **options)
        records = self.drain()
        is_call = records["function"] < FIRST_KIND
        return Trace(self.plan, records[is_call], records[~is_call], dict(self.names), done.returncode, done.stdout)


def system_call_group(names: Sequence[str] = DEFAULT_CALLS) -> Group:
    numbers = {call.name: call.number for call in system_calls(os.uname().machine)}
    names = [name if name in numbers else AT_INSTEAD[name] for name in names]
    functions = tuple(
        Function(CALLS[name][0], name, "POSIX", numbers[name], arguments=CALLS[name][1], result=CALLS[name][2])
        for name in names
    )
    return Group("sys", "system calls", Attach.SYSCALL, Target("", os.uname().release), functions)


def layer_group(library: Path) -> Group:
    offsets = {function.name: function.offset for function in elf_functions(library)}
    value = Argument(0, "value", "long", Role.VALUE, 8)
    functions = tuple(
        Function(name, name, "POSIX", offsets[name], arguments=(value,), result=result)
        for name, result in LAYER.items()
    )
    return Group("layer", "layer", Attach.UPROBE, elf_target(library), functions)


@pytest.fixture(scope="session")
def probes(installation: Installation) -> Path:
    """A signed probe file of SITE."""
    return installation.probes(SITE)


@pytest.fixture
def place(installation: Installation, tmp_path: Path) -> Iterator[Installation]:
    """An installation of this test's own, with the keys and the trust of the running one."""
    prefix = tmp_path / "place"
    prefix.mkdir()
    for directory in ("etc", "var/lib"):
        shutil.copytree(installation.prefix / directory, prefix / directory)
    (prefix / "var/log/datacrumbs").mkdir(parents=True)
    made = Installation(prefix)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile one of the programs: ``build("lives.c", "-static")``."""
    directory = tmp_path_factory.mktemp("programs")

    def compile_program(source: str, *flags: str, name: str = "") -> Path:
        output = directory / (name or Path(source).stem)
        if not output.exists():
            subprocess.run(["cc", "-O1", "-g", "-o", output, PROGRAMS / source, *flags], check=True)
        return output

    return compile_program


@pytest.fixture(scope="session")
def layer(build: Callable[..., Path]) -> Path:
    return build("layer.c", "-shared", "-fPIC", name="liblayer.so")


@pytest.fixture(scope="session")
def lives(build: Callable[..., Path], layer: Path) -> Path:
    return build("lives.c", "-pthread", str(layer), f"-Wl,-rpath,{layer.parent}")


@pytest.fixture(scope="session")
def engine_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> SystemConfiguration:
    # The guard would keep rings from overflowing, which some tests want; it has tests of its own.
    return SystemConfiguration(trace_log_dir=tmp_path_factory.mktemp("traces"), guard_ring_percent=100)


@pytest.fixture(scope="module")
def tracer(layer: Path, engine_state: Path, configuration: SystemConfiguration) -> Iterator[Tracer]:
    """An engine for a few system calls and the functions of the test library."""
    plan = Plan((), (system_call_group(), layer_group(layer)))
    with Tracer(plan, engine_state, configuration) as tracer:
        yield tracer


def composed(*entries: ProviderEntry, without: tuple[str, ...] = ()) -> Plan:
    """The plan of a site file with these entries, on this host."""
    site = SiteConfiguration(Path("test.yaml"), entries)
    selection = Selection(without=without)
    names = tuple({entry.provider for entry in entries})
    return compose(site, load_providers(without, names), current_host(), selection)
