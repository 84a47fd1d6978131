"""``datacrumbs_sbatch``: sbatch for a job that is traced."""

from __future__ import annotations

from datacrumbs.commands._submitting import submitting

COMMAND = submitting(
    "sbatch",
    "Submit a batch job that is traced.",
    "datacrumbs_sbatch --datacrumbs-probe-file probes.json.gz --nodes=2 job.sh",
)
