"""``datacrumbs_setup``: makes the keys, the trust, the policy and the directories of a host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_dry_run, add_json, add_prefix
from datacrumbs.install import STAGES

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add = parser.add_argument
    add(
        "--stage",
        choices=STAGES,
        default="all",
        help="login: where probe files are signed; relay: another login node, which asks there; compute: where "
        "programs are traced (default: all, which is login and compute)",
    )
    add_prefix(parser)
    add("--trust-key", type=Path, metavar="PEM", help="trust the public key of this signing host")
    add("--next-key", action="store_true", help="create the key for the next rotation; it does not sign yet")
    add("--rotate-key", action="store_true", help="switch to the next signing key; existing signatures stay valid")
    add("--uninstall", action="store_true", help="remove what setup created; traces and changed files stay")
    add_dry_run(parser)
    add_json(parser)


COMMAND = Command(
    name="setup",
    summary="Create the keys, configuration, directories and units that DataCrumbs needs on this host.",
    description="Run it again after an update; it keeps what an administrator changed.",
    examples=("sudo datacrumbs_setup --stage login",),
    arguments=arguments,
    work="_installing:setup",
    section=8,
)
