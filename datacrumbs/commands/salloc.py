"""``datacrumbs_salloc``: salloc for a job that is traced."""

from __future__ import annotations

from datacrumbs.commands._submitting import submitting

COMMAND = submitting(
    "salloc",
    "Allocate nodes for a job that is traced.",
    "datacrumbs_salloc --datacrumbs-probe-file probes.json.gz --nodes=2",
)
