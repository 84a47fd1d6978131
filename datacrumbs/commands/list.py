"""``datacrumbs_list``: the caller's runs and traces."""

from __future__ import annotations

from datacrumbs.commands._command import Command, add_json_and_prefix

COMMAND = Command(
    name="list",
    summary="List your runs and traces, newest first: when, what, how large, and whether it is complete.",
    description="It looks for traces where this host keeps them and in the working directory. Root sees everyone's.",
    examples=("datacrumbs_list",),
    arguments=add_json_and_prefix,
    work="_runs:show_runs",
)
