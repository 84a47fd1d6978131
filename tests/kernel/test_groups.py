"""All processes of a control group: those that are in it, are born in it, move into it or begin to be the user's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.daemon.chosen_processes import group_there
from datacrumbs.engine.engine import Marks
from datacrumbs.jobs.slurm_job import slurm_job
from datacrumbs.model.contract import Take
from datacrumbs.model.plan import Plan

from .conftest import COMMANDS, NOBODY, Tracer, system_call_group
from .server import LENGTHS, serve, serving, wait_until_in_read
from .storm import children, since, storming
from .workloads import accounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.system import SystemConfiguration
    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel

MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
FLUX = 64998  # no account has it
FORKS = 3 + 5 * (7 + 11)  # calls of `lives.c forks`


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of this test's own, with another one in it."""
    mount = next((place for place in MOUNTS if (place / "cgroup.controllers").exists()), None)
    if mount is None:
        pytest.skip("no mount of cgroup2")
    place = mount / f"datacrumbs-test-{os.getpid()}"
    inner = place / "in" / "ner"
    inner.mkdir(parents=True)
    yield place
    for directory in (inner, inner.parent, place):
        for process in (directory / "cgroup.procs").read_text().split():
            (mount / "cgroup.procs").write_text(process)
        directory.rmdir()


@pytest.fixture
def following(group: Path, engine_state: Path, configuration: SystemConfiguration) -> Callable[..., Tracer]:
    """A tracer for the group's processes: `following(owner)`."""

    @contextmanager
    def made(owner: int = 0) -> Iterator[Tracer]:
        marks = Marks(owner, unnamed=False, group=group.stat().st_ino)
        with Tracer(Plan((), (system_call_group(),)), engine_state, configuration, marks=marks) as tracer:
            yield tracer

    return made


def move(process: int, group: Path) -> None:
    (group / "cgroup.procs").write_text(str(process))


def run_in(group: Path, *command: str | Path) -> None:
    subprocess.run(["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", *command], check=True)


def by_process(tracer: Tracer, name: str = "getppid") -> Counter[int]:
    records = tracer.drain()
    which = [index for index, function in enumerate(tracer.plan.functions) if function.name == name]
    assert not any(count.lost for count in tracer.engine.counts())
    return Counter(records["process"][np.isin(records["function"], which)].tolist())


@pytest.fixture
def static(build: Callable[..., Path]) -> Path:
    return build("lives.c", "-pthread", "-static", "-DWITHOUT_LAYER", name="lives_static")


def test_programs_that_begin_in_the_group(following, group: Path, static: Path) -> None:
    with following() as tracer:
        assert tracer.engine.take({}) == {}
        run_in(group, static, "forks")
        run_in(group / "in" / "ner", static, "forks")
        subprocess.run([static, "forks"], check=True)
        run_in(group, *AS_NOBODY, static, "forks")
        counts = by_process(tracer)
    assert sorted(counts.values()) == sorted(2 * [3, *5 * [7, 11]])
    assert counts.total() == 2 * FORKS


def test_a_program_that_root_begins_for_a_user(following, group: Path, static: Path) -> None:
    """As a scheduler's daemon does: the process is in the group before it is the user's."""
    with following(NOBODY) as tracer:
        tracer.engine.take({})
        run_in(group, *AS_NOBODY, static, "forks")
        run_in(group, static, "forks")
        assert by_process(tracer).total() == FORKS


def test_a_child_that_is_born_in_the_group(following, group: Path, build: Callable[..., Path]) -> None:
    with following() as tracer:
        tracer.engine.take({})
        subprocess.run([build("into_group.c"), group / "in"], check=True)
        assert list(by_process(tracer).values()) == [13]


def test_a_process_that_moves_in_and_out(following, group: Path, build: Callable[..., Path], tmp_path: Path) -> None:
    with following() as tracer, serving(build("server.c", "-pthread"), tmp_path) as server:
        tracer.engine.take({})
        serve(server, 2)
        move(server.pid, group / "in")
        serve(server, 3)
        move(server.pid, group.parent)
        serve(server, 5)
        move(server.pid, group)
        serve(server, 7)
        assert by_process(tracer) == {server.pid: (3 + 5 + 7) * 13 * len(LENGTHS)}


def test_processes_that_are_there(following, group: Path, build: Callable[..., Path], tmp_path: Path) -> None:
    server = build("server.c", "-pthread")
    with (
        serving(server, tmp_path) as inside,
        serving(server, tmp_path) as beside,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=NOBODY) as other,
    ):
        move(inside.pid, group / "in" / "ner")
        move(other.pid, group)
        with following() as tracer:
            assert tracer.engine.take({}) == {inside.pid: Take.TAKEN, other.pid: Take.FOREIGN}
            for process in (inside, beside):
                serve(process, 3)
                wait_until_in_read(process.pid)
            assert by_process(tracer) == {inside.pid: 3 * 13 * len(LENGTHS)}


def test_a_group_that_is_killed_leaves_a_whole_trace(
    installation: Installation, probes: Path, group: Path, tmp_path: Path
) -> None:
    """As a scheduler ends a job: what writes the trace is in another group, so nothing is missing from it."""
    if not (group / "cgroup.kill").exists():
        pytest.skip("the kernel has no cgroup.kill")
    script = f"echo $$ >{group}/cgroup.procs; dd if=/dev/zero of={tmp_path}/out bs=1 count=1009 status=none; echo; cat"
    with installation.daemon(probes, arguments=["--cgroup", group]) as daemon:
        with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
            assert program.stdout.read(1) == b"\n"
            (group / "cgroup.kill").write_text("1")
            assert program.wait(300) == -signal.SIGKILL
        trace = daemon.lines()
    assert len([call for call in trace.named("write") if call["args"]["ret"] == 1]) >= 1009
    assert trace.footer["entered"] == accounted(trace.footer)
    assert trace.provenance["ended_by"] == "signal"


@pytest.fixture
def awaiting_for(engine_state: Path, configuration: SystemConfiguration) -> Iterator[Callable[..., Tracer]]:
    """Makes a tracer for a group with one of these names that is not there yet: `awaiting_for(names, maker)`."""
    made: list[Tracer] = []

    def tracer(names: tuple[str, ...], maker: int = 0) -> Tracer:
        marks = Marks(NOBODY, ("4711",), unnamed=False, awaited=names, maker=maker)
        made.append(Tracer(Plan((), (system_call_group(),)), engine_state, configuration, marks=marks))
        return made[-1]

    yield tracer
    for each in made:
        each.engine.close()


@pytest.fixture
def awaiting(awaiting_for: Callable[..., Tracer], group: Path) -> Tracer:
    """A tracer for a group below `group` that is not there yet."""
    return awaiting_for((f"{group.name}/job_4711", f"n1_{group.name}/job_4711"))


@contextmanager
def tree(place: Path) -> Iterator[Path]:
    """Groups for a job's step below `place`, which are removed afterwards; gives the innermost."""
    levels = [place.parent, place, place / "step_0", place / "step_0" / "user"]
    for level in levels:
        level.mkdir()
    yield levels[-1]
    for level in reversed(levels):
        level.rmdir()


def test_a_group_that_is_made_later_and_again(awaiting: Tracer, group: Path, static: Path) -> None:
    run_in(group, *AS_NOBODY, static, "forks")
    for name in ("job_4712", "job_4711", "job_4711"):
        job = group / name
        (job / "step_0" / "user").mkdir(parents=True)
        run_in(job / "step_0" / "user", *AS_NOBODY, static, "forks")
        run_in(job, static, "forks")
        for directory in (job / "step_0" / "user", job / "step_0", job):
            directory.rmdir()
    assert by_process(awaiting).total() == 2 * FORKS


def test_what_is_called_like_it_but_is_not_roots_or_of_version_2(
    awaiting: Tracer, group: Path, static: Path, shared_directory: Path
) -> None:
    os.chown(group, NOBODY, NOBODY)
    others = [group / "job_4711"]
    subprocess.run([*AS_NOBODY, "mkdir", others[0]], check=True)
    if Path("/sys/fs/cgroup/pids/cgroup.procs").exists():
        others += [Path("/sys/fs/cgroup/pids") / group.name / "job_4711", Path("/sys/fs/cgroup/pids") / group.name]
        others[1].mkdir(parents=True)
    run_in(others[0], *AS_NOBODY, static, "forks")
    for directory in others:
        directory.rmdir()
    assert by_process(awaiting).total() == 0


@pytest.mark.parametrize("scope", ["slurmstepd.scope", "n1_slurmstepd.scope"])
@pytest.mark.parametrize("name", ["job_4711", "sEKNKTV3WPV500"])
def test_groups_of_slurm_before_and_from_26_05_on(
    awaiting_for: Callable[..., Tracer], group: Path, static: Path, scope: str, name: str
) -> None:
    environment = {"SLURM_JOB_ID": "4711", "SLURM_JOB_UID": str(NOBODY), "SLURMD_NODENAME": "n1"}
    names = slurm_job(environment | {"SLURM_JOB_SLUID": "sEKNKTV3WPV500"}).groups
    tracer = awaiting_for(names)
    job = group / scope / name
    assert group_there(names) == 0
    with tree(job) as step:
        assert group_there(names) == job.stat().st_ino
        run_in(step, *AS_NOBODY, static, "forks")
    with tree(group / scope / "job_4712") as step:
        run_in(step, *AS_NOBODY, static, "forks")
    assert by_process(tracer).total() == FORKS


def test_a_group_that_a_scheduler_makes_that_is_not_root(
    awaiting_for: Callable[..., Tracer], group: Path, static: Path
) -> None:
    """As Flux does, whose groups are made by the systemd of its own user."""
    names = (f"{group.name}/imp-shell-0-f4711.service",)
    tracer = awaiting_for(names, FLUX)
    job = group / "imp-shell-0-f4711.service"
    for maker, expected in ((NOBODY, 0), (FLUX, FORKS)):
        os.chown(group, maker, maker)
        subprocess.run(["setpriv", f"--reuid={maker}", f"--regid={maker}", "--clear-groups", "mkdir", job], check=True)
        os.chown(group, FLUX, FLUX)
        assert group_there(names) == 0
        assert group_there(names, FLUX) == (job.stat().st_ino if expected else 0)
        run_in(job, *AS_NOBODY, static, "forks")
        job.rmdir()
        assert by_process(tracer).total() == expected


def test_marks_from_outside_once_the_group_is_there(
    awaiting: Tracer, group: Path, static: Path, shared_directory: Path
) -> None:
    program = shutil.copy(static, shared_directory)  # where its user finds it
    marked = (*AS_NOBODY, COMMANDS / "datacrumbs_wrap", "--run-id=4711", program, "forks")
    subprocess.run(marked, check=True)
    assert by_process(awaiting).total() == FORKS
    job = group / "job_4711"
    job.mkdir()
    subprocess.run(marked, check=True)
    run_in(job, *AS_NOBODY, static, "forks")
    job.rmdir()
    assert by_process(awaiting).total() == FORKS


def test_a_fork_storm_in_the_group(following, group: Path, build: Callable[..., Path]) -> None:
    with storming(build("storm.c", "-pthread")) as storm:
        move(storm.pid, group)
        made = children(storm, 101)
        begin = time.monotonic_ns()
        with following() as tracer:
            tracer.engine.take({})
            end = time.monotonic_ns()
            made += children(storm, 101, end)
            move(storm.pid, group.parent)
            made += children(storm, 101, time.monotonic_ns())
            storm.stdin.close()
            made += list(since(storm))
            counts = by_process(tracer)
    for child, grandchild, before, after in made:
        found = (counts[child], counts[grandchild])
        if before > end:
            assert found == (7, 11)
        elif after < begin:
            assert found == (0, 0)
        else:
            assert found <= (7, 11)
    assert counts.total() >= 2 * 101 * (7 + 11)
