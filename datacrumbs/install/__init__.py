"""Making, changing and removing the files of an installation."""

from __future__ import annotations

STAGES = ("login", "relay", "compute", "all")
"""Which part of an installation a host needs: where plans are signed, where they are handed to the host that signs,
where programs are traced, or all but the second."""
CLUSTER_STAGES = ("services", "scheduler-hooks", "flux-plugin", "all")
"""What a compute node of a cluster gets: its part of an installation, and links where its scheduler looks."""
