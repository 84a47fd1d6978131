"""The readers that others use, each installed in an environment of its own below the cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..conftest import load_module, python_environment  # noqa: TID252

if TYPE_CHECKING:
    from types import ModuleType

    from datacrumbs.testing import Installation

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("DATACRUMBS_READERS", HERE.parents[1] / ".cache/readers"))
REQUIREMENTS = {
    "dftracer": ("dftracer-utils==0.0.14",),
    # 0.0.13 and 0.0.14 of the utilities break this analyzer.
    "dfanalyzer": ("dftracer-analyzer==0.0.9", "dftracer-utils==0.0.12"),
    "viztracer": ("viztracer==1.1.1",),
    "duckdb": ("duckdb",),
}
ROUNDS = 60


@dataclass(frozen=True)
class Reader:
    """An environment with one reader."""

    path: Path

    def run(self, program: str, *arguments: str, cwd: Path | None = None, **environment: str) -> str:
        """Standard output of one of its programs, which must succeed."""
        done = subprocess.run(
            [self.path / "bin" / program, *arguments],
            check=False,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{program} {arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout


@dataclass(frozen=True)
class Perfetto:
    """Perfetto's trace processor as its UI has it."""

    interface: Path

    def query(self, trace: Path, *queries: str) -> list[list[list[Any]]]:
        """Rows of each query."""
        command = ["node", str(HERE / "perfetto.js"), str(self.interface), str(trace), *queries]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)


def environment(name: str) -> Reader:
    """The reader's environment, made unless it is there."""
    return Reader(python_environment(CACHE / name, *REQUIREMENTS[name]))


@pytest.fixture(scope="session")
def dftracer() -> Reader:
    return environment("dftracer")


@pytest.fixture(scope="session")
def dfanalyzer() -> Reader:
    return environment("dfanalyzer")


@pytest.fixture(scope="session")
def duckdb_reader() -> Reader:
    return environment("duckdb")


@pytest.fixture(scope="session")
def perfetto() -> Perfetto:
    found = sorted(environment("viztracer").path.glob("lib/python3*/site-packages/viztracer/web_dist/v*"))
    return Perfetto(found[-1])


@pytest.fixture(scope="session", params=["synthetic", "recorded"])
def trace_directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The traces that the readers are given: of every variant of a line, and of a real run."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "synthetic":
        synthetic = load_module(HERE / "synthetic.py")
        synthetic.write_trace(directory / "node1.pfw.gz", ROUNDS)
        synthetic.write_trace(directory / "node2.pfw.gz", 0)
    else:
        shutil.copy(record(request.getfixturevalue("installation"), tmp_path_factory.mktemp("work")), directory)
    return directory


def record(installation: Installation, work: Path) -> Path:
    """Trace programs that nobody here wrote, at system calls and streams; gives the trace."""
    site = "capture_probes:\n  - {provider: sys, preset: default}\n  - {provider: posix, preset: stdio}\n"
    # Lines of every kind that a trace can have: of calls that were added up, and of a sampled function.
    site += "  - {provider: sys, functions: 'lseek|access', mode: profile}\n"
    site += "  - {provider: sys, functions: mmap, sample: 2}\n"
    sql = "create table t(a, b); " + "insert into t values (1, 'x'); " * 23 + "select count(*) from t;"
    commands = [
        ["/bin/dd", "if=/dev/zero", 'of=ünïcode "quoted"', "bs=4k", "count=1009", "status=none"],
        ["sqlite3", "new.db", sql],
        ["/usr/bin/python3", "-c", "import json, threading; print(open('/etc/passwd').read())"],
        ["sh", "-c", "cat /etc/passwd missing | sort | tail -1; ls -la / > out"],
    ]
    with installation.daemon(installation.probes(site)) as daemon:
        for command in commands:
            daemon.wrap(*command, cwd=work, capture_output=True)
        daemon.stop()
    return daemon.trace


@pytest.fixture(scope="session")
def browsers() -> ModuleType:
    return load_module(HERE / "browser.py")


@pytest.fixture(scope="session")
def made() -> ModuleType:
    return load_module(HERE.parent / "unit/made.py")


@pytest.fixture(scope="session")
def checks() -> ModuleType:
    return load_module(HERE / "checks.py")
