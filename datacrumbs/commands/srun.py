"""``datacrumbs_srun``: srun for a job that is traced."""

from __future__ import annotations

from datacrumbs.commands._submitting import submitting

COMMAND = submitting(
    "srun",
    "Run a program as a job that is traced.",
    "datacrumbs_srun --datacrumbs-probe-file probes.json.gz --ntasks=4 ./app",
)
