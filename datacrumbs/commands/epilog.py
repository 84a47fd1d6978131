"""``datacrumbs_epilog``: what a scheduler's epilog calls."""

from __future__ import annotations

from datacrumbs.commands._command import Command, add_prefix

COMMAND = Command(
    name="epilog",
    summary="End a job's run; called by the scheduler's epilog.",
    description=(
        "The environment names the job (SLURM_JOB_ID or FLUX_JOB_ID). Let the scheduler call the script "
        "/etc/datacrumbs/slurm/epilog or /etc/datacrumbs/flux/epilog, which calls this for jobs that need it. "
        "The exit status is always 0, so that tracing makes no job fail."
    ),
    examples=("SLURM_JOB_ID=28 datacrumbs_epilog", "FLUX_JOB_ID=f2oXdF3 datacrumbs_epilog"),
    arguments=add_prefix,
    work="_job_hooks:end_job",
    section=8,
)
