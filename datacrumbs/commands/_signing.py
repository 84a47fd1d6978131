"""What ``datacrumbs_sign_probes`` does: it opens the authority and serves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands import _services
from datacrumbs.errors import refusal
from datacrumbs.signer.authority import checked_key_id, open_authority
from datacrumbs.signer.service import Service
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse


def sign(arguments: argparse.Namespace) -> None:
    """Run the service of an installation until a signal."""
    serve(arguments.prefix)


def serve(prefix: Path) -> None:
    """Run the service of the installation below a prefix until a signal."""
    paths = SystemPaths(prefix)
    if os.geteuid() != 0 and prefix == Path("/"):
        raise refusal("the signing service of this host runs as root only", "sudo datacrumbs_sign_probes")
    _services.begin_log()
    authority = open_authority(paths)
    _services.check_run_directory(paths)
    _services.serve(Service(authority), paths.signing_socket, lambda: f", key {checked_key_id(paths)[:16]}")
