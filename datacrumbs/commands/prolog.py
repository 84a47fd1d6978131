"""``datacrumbs_prolog``: what a scheduler's prolog calls."""

from __future__ import annotations

from datacrumbs.commands._command import Command, add_prefix

COMMAND = Command(
    name="prolog",
    summary="Start the run of a job that asks for tracing; called by the scheduler's prolog.",
    description=(
        "The environment names the job (SLURM_JOB_ID or FLUX_JOB_ID, and others); Flux's jobspec is read from "
        "standard input. Let the scheduler call the script /etc/datacrumbs/slurm/prolog or "
        "/etc/datacrumbs/flux/prolog, which calls this for jobs that need it. "
        "The exit status is always 0, so that tracing makes no job fail."
    ),
    examples=(
        "SLURM_JOB_ID=28 SLURM_JOB_UID=1000 datacrumbs_prolog",
        "flux job info f2oXdF3 jobspec | FLUX_JOB_ID=f2oXdF3 FLUX_JOB_USERID=1000 datacrumbs_prolog",
    ),
    arguments=add_prefix,
    work="_job_hooks:begin_job",
    section=8,
)
