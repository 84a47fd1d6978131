"""Programs as they are run every day, each for well under a second: what a tracer does to them is the question."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from _tracer import Tracer

_POSTGRES = Path("/usr/lib/postgresql")
_PACKAGES, _DIRECTORIES = 100, 200


@dataclass(slots=True)
class Workload:
    """One program.

    Args:
        title: For the tables.
        program: Names of its processes, separated by commas.
        command: What is run; ``CLOCKED`` is replaced by the clock and the file that it writes.
        prepare: What makes its input new before each run.
    """

    title: str
    program: str
    command: list[str]
    prepare: Callable[[], None] = lambda: None

    def seconds(self, tracer: Tracer, clock: Path, place: Path) -> float:
        """One run under a tracer, of the program alone: the tracer's own start and end are not in it."""
        self.prepare()
        result = place / "seconds"
        result.unlink(missing_ok=True)
        words = []
        for word in self.command:
            words += [str(clock), str(result)] if word == CLOCKED else [word]
        done = subprocess.run(
            tracer.command(words), stdin=subprocess.DEVNULL, capture_output=True, check=False, close_fds=False
        )
        if done.returncode or not result.exists():
            raise SystemExit(f"{self.title}, {tracer.name}: exit {done.returncode}\n{done.stderr[-2000:].decode()}")
        return float(result.read_text())


CLOCKED = "CLOCKED"


def workloads(place: Path, *, scale: int) -> list[Workload]:
    """Those that this machine can run; ``scale`` 10 is the full size."""
    found = [*_fio(place, scale), *_postgres(place, scale), *_sqlite(place, scale), *_hdf5(place)]
    return [*found, *_trees(place, scale), *_imports(place, scale)]


def fio_random(place: Path, scale: int) -> Workload:
    """4 KiB reads and writes at random places of a file."""
    size = f"--io_size={80 * scale}m"
    options = ["--name=random", "--rw=randrw", "--bs=4k", "--size=64m", size, "--randseed=1"]
    return Workload("fio 4 KiB random", "fio", [CLOCKED, "fio", *_fio_options(place), *options])


def _fio(place: Path, scale: int) -> list[Workload]:
    if not shutil.which("fio"):
        return []
    options = ["--name=sequential", "--rw=write", "--bs=1m", "--size=64m", f"--io_size={100 * scale}m"]
    sequential = Workload("fio 1 MiB sequential", "fio", [CLOCKED, "fio", *_fio_options(place), *options])
    return [fio_random(place, scale), sequential]


def _fio_options(place: Path) -> list[str]:
    return [f"--filename={place / 'fio'}", "--ioengine=psync", "--thread", "--output=/dev/null"]


# PostgreSQL refuses to be root: it sees another number, while for the kernel it stays the run's user.
def _postgres(place: Path, scale: int) -> list[Workload]:
    programs = max(_POSTGRES.glob("*/bin/pgbench"), default=None)
    if programs is None:
        return []
    programs = programs.parent
    data, script = place / "postgres", place / "postgres.sh"
    as_other = ["unshare", "--map-user=1000"]
    made = ["initdb", "-D", str(data), "-N", "-U", "bench", "-A", "trust"]
    subprocess.run([*as_other, programs / made[0], *made[1:]], check=True, capture_output=True)
    script.write_text(f"""\
{programs}/postgres -D {data} -k {place} -c listen_addresses= -c autovacuum=off >{place}/postgres.log 2>&1 &
trap 'kill -INT $!; wait $!' EXIT
until {programs}/pg_isready -q -h {place} -U bench -d postgres; do sleep 0.02; done
"$@"
""")
    with_server = [*as_other, "sh", "-e", str(script)]
    client = [str(programs / "pgbench"), "-h", str(place), "-U", "bench"]
    subprocess.run([*with_server, *client, "-i", "-q", "postgres"], check=True, capture_output=True)
    transactions = ["-n", "-c", "2", "-j", "1", "-t", str(100 * scale), "postgres"]
    return [Workload("pgbench", "postgres,pgbench", [*with_server, CLOCKED, *client, *transactions])]


def _sqlite(place: Path, scale: int) -> list[Workload]:
    if not shutil.which("sqlite3"):
        return []
    database, script = place / "sqlite.db", place / "sqlite.sql"
    rows = [f"insert into t values ({row}, 'value {row}');" for row in range(100 * scale)]  # noqa: S608
    script.write_text("\n".join(["create table t(a, b);", *rows]))
    command = [CLOCKED, "sqlite3", "-batch", str(database), f".read {script}"]
    return [Workload("sqlite3 inserts", "sqlite3", command, lambda: database.unlink(missing_ok=True))]


def _hdf5(place: Path) -> list[Workload]:
    if not shutil.which("h5perf_serial"):
        return []
    command = [CLOCKED, "env", f"HDF5_PREFIX={place}", "h5perf_serial", "-A", "hdf5", "-e", "2K,4K", "-x", "4,64"]
    return [Workload("h5perf_serial", "h5perf_serial", command)]


def _trees(place: Path, scale: int) -> list[Workload]:
    tree, count = place / "tree", 2000 * scale
    for number in range(_DIRECTORIES):
        directory = tree / f"d{number:03}"
        directory.mkdir(parents=True)
        for file in range(count // _DIRECTORIES):
            (directory / f"f{file:03}").write_bytes(b"x" * 500)
    found = [Workload(f"tar of {count:,} files", "tar", [CLOCKED, "tar", "-cf", str(place / "tree.tar"), str(tree)])]
    if shutil.which("git"):
        repository = place / "repository"
        shutil.copytree(tree, repository)
        git = ["git", "-C", str(repository), "-c", "user.name=b", "-c", "user.email=b@localhost", "-c", "gc.auto=0"]
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"], ["status"]):
            subprocess.run([*git, *words], check=True, capture_output=True)
        status = [CLOCKED, "git", "-C", str(repository), "status", "--porcelain"]
        found.append(Workload("git status", "git", status))
    return found


def _imports(place: Path, scale: int) -> list[Workload]:
    modules, order = place / "modules", random.Random(1)
    names = []
    for number in range(_PACKAGES):
        package = modules / f"p{number:03}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        for module in range(scale):
            (package / f"m{module:02}.py").write_text(f"VALUE = {module}\n")
            names.append(f"p{number:03}.m{module:02}")
    order.shuffle(names)
    storm = modules / "storm.py"
    storm.write_text("\n".join(f"import {name}" for name in names) + "\n")
    python = "/usr/bin/python3"
    subprocess.run([python, storm], check=True)  # compiles them
    return [Workload("python import storm", "python3", [CLOCKED, python, str(storm)])]
