"""What ``datacrumbs_prolog`` and ``datacrumbs_epilog`` do. Neither ever fails for a reason of tracing."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, refusal
from datacrumbs.jobs import flux_job, slurm_job
from datacrumbs.jobs.flux_job import FluxJob
from datacrumbs.jobs.slurm_job import SlurmJob
from datacrumbs.output import warn
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from datacrumbs.jobs.node_job import NodeJob

_JOBSPEC_LIMIT = 64 << 20


def begin_job(options: argparse.Namespace) -> None:
    """Start the run of the job whose prolog this is."""
    job = _job()

    def begin() -> str:
        paths = SystemPaths(options.prefix.absolute())
        with suppress(DatacrumbsError):  # it is said below
            if not job.probe_file() and not (paths.jobs / job.note).exists():
                return ""
        from datacrumbs.jobs.prolog import start_run  # most of the time goes into this

        return start_run(job, paths)

    _guarded(begin)


def end_job(options: argparse.Namespace) -> None:
    """End the run of the job whose epilog this is."""
    kind, job_id = (FluxJob, flux_job.job_id) if _is_of_flux() else (SlurmJob, slurm_job.job_id)
    job = job_id(os.environ)

    def end() -> str:
        from datacrumbs.jobs.epilog import end_run  # likewise

        complete = end_run(kind.note_of(job), SystemPaths(options.prefix.absolute()))
        return "" if complete else f"the trace of job {job} is still being completed"

    _guarded(end)


# Within an allocation of SLURM Flux has both, but SLURM's own prolog and epilog have nothing of Flux.
def _is_of_flux() -> bool:
    return flux_job.JOB_ID in os.environ


def _job() -> NodeJob:
    if _is_of_flux():
        return flux_job.flux_job(os.environ, sys.stdin.buffer.read(_JOBSPEC_LIMIT))
    return slurm_job.slurm_job(os.environ)


def _guarded(work: Callable[[], str]) -> None:
    if os.geteuid() != 0:
        raise refusal("prolog and epilog run as root", "the scheduler calls them; see datacrumbs_setup")
    try:
        problem = work()
    except (DatacrumbsError, OSError, ValueError, TypeError) as error:  # a note that was cut short, a full disk
        problem = str(error)
    if problem:
        warn(problem)
