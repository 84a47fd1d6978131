"""``datacrumbs_sign_probes``: the signing service, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_prefix

if TYPE_CHECKING:
    from datacrumbs.commands._command import Run


def _load() -> Run:
    from datacrumbs.commands._signing import sign

    return sign


COMMAND = Command(
    name="sign_probes",
    summary="Run the signing service, which signs probe plans for users as the policy allows, until SIGTERM.",
    description="It logs its decisions to standard error.",
    examples=("datacrumbs_sign_probes    # as root; normally: systemctl start datacrumbs_sign_probes",),
    arguments=add_prefix,
    load=_load,
    section=8,
)
