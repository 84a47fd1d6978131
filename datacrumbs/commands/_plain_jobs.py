"""What ``datacrumbs_service_wrapper`` does: what prolog and epilog do, and it says whether that went well."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from datacrumbs.daemon.run_files import is_locked
from datacrumbs.errors import DatacrumbsError, refusal, usage_error
from datacrumbs.jobs.epilog import end_run
from datacrumbs.jobs.job_notes import JobNotes
from datacrumbs.jobs.plain_job import PlainJob, checked_name, plain_job
from datacrumbs.jobs.prolog import start_run
from datacrumbs.nodes.node_runs import NONE_HERE
from datacrumbs.runs.own_traces import daemons
from datacrumbs.session.invoker import installation_of, invoker
from datacrumbs.system import SystemPaths, make_searched

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_END_SECONDS = 10.0


def start_or_stop(options: argparse.Namespace) -> None:
    """Start or end a job's run, and wait for it."""
    if os.geteuid() != 0:
        raise refusal("runs of jobs are started by root", "sudo datacrumbs_service_wrapper")
    paths = SystemPaths(installation_of(options.prefix, invoker(os.environ)))
    if options.action == "stop":
        name = checked_name(options.job)
        with _alone(name, paths, options.timeout) as left:
            _stop(name, paths, left)
        return
    if options.user is None or options.probes is None:
        raise usage_error("expected start JOB USER PROBES", "see datacrumbs_service_wrapper --help")
    job = plain_job(options.job, options.user, options.probes)
    with _alone(job.id, paths, options.timeout) as left:
        _start(job, paths, left)


# A stop in the middle of a start would find nothing to end yet, and say so. Gives the seconds that are left.
@contextmanager
def _alone(job: str, paths: SystemPaths, seconds: float) -> Iterator[float]:
    end = time.monotonic() + seconds
    notes = JobNotes(paths, PlainJob.note_of(job))
    make_searched(paths.jobs)
    with notes.held(seconds) as is_held:
        if not is_held:
            raise DatacrumbsError(f"the run of job {job} is still being started or ended here by another command")
        yield max(end - time.monotonic(), 0)


# A run that is not ready in time is ended: what calls this goes on without it.
def _start(job: PlainJob, paths: SystemPaths, seconds: float) -> None:
    if is_locked(paths.run / f"datacrumbs-{job.run}.lock"):
        raise DatacrumbsError(
            f"run {job.run} goes on here already", hint=f"take another id, or end it: datacrumbs_stop {job.run}"
        )
    problem = start_run(job, paths, seconds, unnamed=True)
    if problem:
        end_run(job.note, paths, _END_SECONDS)
        raise DatacrumbsError(problem)
    for name, _, trace in daemons(paths):
        if name == job.run:
            print(trace)


def _stop(job: str, paths: SystemPaths, seconds: float) -> None:
    note = PlainJob.note_of(job)
    if not (paths.jobs / note).exists():
        print(NONE_HERE)
    elif not end_run(note, paths, seconds):
        raise DatacrumbsError(f"the trace of job {job} is still being completed")
