"""``datacrumbs_untrack``: undo `datacrumbs_track`."""

from __future__ import annotations

from datacrumbs.commands._command import Command
from datacrumbs.commands._tracking_options import arguments

COMMAND = Command(
    name="untrack",
    summary="Remove the client library from an executable again.",
    description="The file is replaced in one step; its mode, owner and attributes are kept.",
    examples=("datacrumbs_untrack --executable ./myapp",),
    arguments=arguments,
    work="_tracking:untrack_executable",
)
