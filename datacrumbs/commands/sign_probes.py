"""``datacrumbs_sign_probes``: the signing service, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_prefix

if TYPE_CHECKING:
    import argparse


def _arguments(parser: argparse.ArgumentParser) -> None:
    role = parser.add_mutually_exclusive_group()
    role.add_argument(
        "--relay", action="store_true", help="hand requests to the signing host that the system configuration names"
    )
    role.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        default="",
        help="take requests of relays on other hosts there, too; the policy says which hosts (default: systemd's "
        "socket, if it passes one)",
    )
    add_prefix(parser)


COMMAND = Command(
    name="sign_probes",
    summary="Run the signing service, which signs probe plans for users as the policy allows, until SIGTERM.",
    description="It logs its decisions to standard error.",
    examples=(
        "datacrumbs_sign_probes    # as root; normally: systemctl start datacrumbs_sign_probes",
        "datacrumbs_sign_probes --relay    # on another login node; normally: systemctl start datacrumbs_sign_relay",
    ),
    arguments=_arguments,
    work="_signing:sign",
    section=8,
)
