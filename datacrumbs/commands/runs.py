"""``datacrumbs_runs``: the service of runs, in the foreground."""

from __future__ import annotations

from datacrumbs.commands._command import Command, add_prefix

COMMAND = Command(
    name="runs",
    summary="Run the service that starts and stops runs for users as the policy allows, until SIGTERM.",
    description="It logs its decisions to standard error. Runs continue when it ends; its successor takes them over.",
    examples=("datacrumbs_runs    # as root; normally: systemctl start datacrumbs_runs.socket",),
    arguments=add_prefix,
    work="_services:serve_runs",
    section=8,
)
