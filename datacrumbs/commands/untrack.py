"""``datacrumbs_untrack``: undo `datacrumbs_track`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command
from datacrumbs.commands._tracking_options import arguments

if TYPE_CHECKING:
    from datacrumbs.commands._command import Run


def _load() -> Run:
    from datacrumbs.commands._tracking import untrack_executable

    return untrack_executable


COMMAND = Command(
    name="untrack",
    summary="Remove the client library from an executable again.",
    description="The file is replaced in one step; its mode, owner and attributes are kept.",
    examples=("datacrumbs_untrack --executable ./myapp",),
    arguments=arguments,
    load=_load,
)
