"""``datacrumbs_track``: make an executable mark its processes for tracing."""

from __future__ import annotations

from datacrumbs.commands._command import Command
from datacrumbs.commands._tracking_options import arguments

COMMAND = Command(
    name="track",
    summary="Add the client library to an executable, so that a running `datacrumbs` daemon traces its processes.",
    description="The file is replaced in one step; its mode, owner and attributes are kept.",
    examples=("datacrumbs_track --executable ./myapp",),
    arguments=arguments,
    work="_tracking:track_executable",
)
