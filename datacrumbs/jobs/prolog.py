"""What a job's prolog does: start the run that the job asks for, and leave notes. Whatever happens, the job goes on."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.client import client_library
from datacrumbs.daemon.run_files import let_read
from datacrumbs.daemon.unit import environment_file, log_file, run_log
from datacrumbs.errors import DatacrumbsError
from datacrumbs.jobs.job_notes import GROUP, PRELOAD, SAY, JobNotes
from datacrumbs.jobs.supervising import supervise
from datacrumbs.output import last_message
from datacrumbs.runs.kept_run import KeptRun, KeptRuns
from datacrumbs.runs.launching import ChildLauncher, UnitLauncher, launcher
from datacrumbs.secure.files import write_atomically
from datacrumbs.system import make_searched, read_system_configuration

if TYPE_CHECKING:
    from datacrumbs.jobs.node_job import NodeJob
    from datacrumbs.runs.launching import Launcher
    from datacrumbs.system import SystemPaths

_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class _Start:
    """A run that is being started."""

    job: NodeJob
    paths: SystemPaths
    notes: JobNotes
    deadline: float

    def is_ready(self) -> bool:
        return (self.paths.run / f"datacrumbs-{self.job.run}.ready").exists()

    @property
    def left(self) -> float:
        return max(self.deadline - time.monotonic(), 0)


def start_run(job: NodeJob, paths: SystemPaths, seconds: float | None = None, *, unnamed: bool = False) -> str:
    """Start a job's run, and wait until its programs are traced.

    Args:
        job: The job.
        paths: The installation.
        seconds: How long to wait; None for what the configuration says of prologs.
        unnamed: Whether the run takes marks that name no run: nothing else of the job's user is on the node.

    Returns:
        Why the job is not traced, or not from its beginning; empty when it is, or does not ask for it.
    """
    notes = JobNotes(paths, job.note)
    make_searched(paths.jobs)
    deadline = time.monotonic() + (read_system_configuration(paths).prolog_seconds if seconds is None else seconds)
    how = launcher(paths)
    _end_former(notes, paths, deadline)
    try:
        probe_file = job.probe_file()
    except DatacrumbsError as error:
        return _refused(_Start(job, paths, notes, deadline), error)
    if not probe_file:
        return ""
    _write_environment(job, paths, probe_file, unnamed=unnamed)
    problem = _started(_Start(job, paths, notes, deadline), how)
    lines = [(SAY, f"DataCrumbs on {os.uname().nodename}: {problem}")] if problem else []
    notes.tell(job.uid, [*lines, *((GROUP, name) for name in job.groups), (PRELOAD, str(client_library()))])
    return problem


# Its epilog never came: the node was restarted in the middle of the job.
def _end_former(notes: JobNotes, paths: SystemPaths, deadline: float) -> None:
    former = notes.run
    if former is not None:
        interrupt(former, paths, deadline)
    notes.remove()


def interrupt(run: KeptRun, paths: SystemPaths, deadline: float) -> None:
    """Have a run come to its end, by what it was started with; where systemd does not answer until then, it goes on.

    Args:
        run: The run.
        paths: The installation.
        deadline: On the clock of `time.monotonic`: a node on which a prolog or an epilog hangs gets no jobs.
    """
    how = launcher(paths)
    if how.as_unit != run.as_unit:
        how = UnitLauncher() if run.as_unit else ChildLauncher(())
    with suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(how.interrupt(run), max(deadline - time.monotonic(), 0)))


def _refused(start: _Start, error: DatacrumbsError) -> str:
    with suppress(DatacrumbsError), run_log(start.paths.run, start.job.run) as log:
        let_read(log, start.job.uid)
        raise error
    problem = _not_traced(start, "; ".join(filter(None, (error.message, error.hint))))
    start.notes.keep(None)
    start.notes.tell(start.job.uid, [(SAY, f"DataCrumbs on {os.uname().nodename}: {problem}")])
    return problem


# Whether the job gets a control group is not known yet: until one is there, programs that name the job are traced.
def _write_environment(job: NodeJob, paths: SystemPaths, probe_file: str, *, unnamed: bool) -> None:
    values = {
        "PROBE_FILE": probe_file,
        "USER": job.uid,
        "RUN_ID": job.run,
        "MARKS": "any" if unnamed else "named",
        "JOB": job.id,
        "AWAIT_CGROUP": " ".join(job.groups),
        "CGROUP_MAKER": job.group_maker,
    }
    text = "".join(f"{key}={value}\n" for key, value in values.items())
    write_atomically(environment_file(paths.run, job.run), os.fsencode(text), 0o600)


def _started(start: _Start, how: Launcher) -> str:
    run = KeptRun(start.job.run, start.job.uid, start.job.uid, int(time.time()), "", how.as_unit)
    start.notes.keep(run)  # before there is something to be ended
    if isinstance(how, ChildLauncher):
        supervise(how, run, start.notes.keep)
    else:
        try:
            run = asyncio.run(asyncio.wait_for(how.start(run, start.notes.keep), start.left))
        except TimeoutError:
            return _late(start)
        if not run.pid:
            return _failed(start)
    while not start.is_ready():
        kept = start.notes.run
        if kept is not None and kept.pid and not kept.is_alive and not kept.as_unit:
            return _failed(start)
        if not start.left:
            return _late(start)
        time.sleep(_LOOK_SECONDS)
    return ""


def _late(start: _Start) -> str:
    return f"the run of job {start.job.id} is not ready yet; what the job does until then is not traced"


def _failed(start: _Start) -> str:
    start.notes.keep(None)
    return _not_traced(start, _reason(start))


def _not_traced(start: _Start, reason: str) -> str:
    return f"job {start.job.id} is not traced: {reason} ({log_file(start.paths.run, start.job.run)})"


# The last message in the run's log, with its hint.
def _reason(start: _Start) -> str:
    log = KeptRuns(start.paths).log_tail(start.job.run)
    return last_message(log.splitlines()) or "its run did not begin"
