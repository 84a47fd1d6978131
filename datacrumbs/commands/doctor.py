"""``datacrumbs_doctor``: what works on this host, and how to fix what does not."""

from __future__ import annotations

from datacrumbs.commands._command import Command, add_json_and_prefix

COMMAND = Command(
    name="doctor",
    summary="Report what works on this host and how to fix what does not.",
    description="Run it as root to check everything.\n"
    "Exit status: 0 when tracing can work, 1 when something that it needs is missing.",
    examples=("sudo datacrumbs_doctor",),
    arguments=add_json_and_prefix,
    work="_diagnosis:diagnose",
)
