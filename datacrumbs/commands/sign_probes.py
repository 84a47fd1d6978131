"""``datacrumbs_sign_probes``: the signing service, in the foreground."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._run import command_parser, run_command
from datacrumbs.errors import refusal
from datacrumbs.secure.files import check_protected
from datacrumbs.secure.systemd import notify, passed_socket
from datacrumbs.signer.authority import checked_key_id, open_authority
from datacrumbs.signer.service import Service, listen
from datacrumbs.system import SEARCHED, SystemPaths

if TYPE_CHECKING:
    import argparse


def main() -> None:
    arguments = parser().parse_args()
    sys.exit(run_command(lambda: serve(arguments.prefix)))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = command_parser(
        "datacrumbs_sign_probes",
        "Sign probe plans for users, as the policy allows, until SIGTERM. Decisions are logged to stderr.",
        "datacrumbs_sign_probes    # as root; normally: systemctl start datacrumbs_sign_probes",
    )
    result.add_argument(
        "--prefix", type=Path, default=Path("/"), metavar="DIR", help="use the installation below DIR (default: /)"
    )
    return result


def serve(prefix: Path) -> None:
    """Run the service of an installation until a signal."""
    paths = SystemPaths(prefix)
    if os.geteuid() != 0 and prefix == Path("/"):
        raise refusal("the signing service of this host runs as root only", "sudo datacrumbs_sign_probes")
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
    authority = open_authority(paths)
    listener = passed_socket()
    own = listener is None
    if listener is None:
        _check_run_directory(paths)
        listener = listen(paths.signing_socket)
    where = listener.getsockname()

    def ready() -> None:
        print(
            f"datacrumbs_sign_probes: ready on {where}, key {checked_key_id(paths)[:16]}", file=sys.stderr, flush=True
        )
        notify("READY=1")

    try:
        asyncio.run(Service(authority).run(listener, ready))
        notify("STOPPING=1")
    finally:
        if own:  # systemd keeps its own socket
            paths.signing_socket.unlink(missing_ok=True)


def _check_run_directory(paths: SystemPaths) -> None:
    try:
        check_protected(paths.run)
    except FileNotFoundError:
        paths.run.mkdir(mode=SEARCHED, parents=True)
