"""What ``datacrumbs_sign_probes`` does: it opens the authority and serves."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import refusal
from datacrumbs.output import Verbosity, inform, verbosity
from datacrumbs.secure.files import check_protected
from datacrumbs.secure.systemd import notify, passed_socket
from datacrumbs.serving.server import listen
from datacrumbs.signer.authority import checked_key_id, open_authority
from datacrumbs.signer.request import SIGNING
from datacrumbs.signer.service import Service
from datacrumbs.system import SEARCHED, SystemPaths

if TYPE_CHECKING:
    import argparse

_LEVELS = {Verbosity.QUIET: logging.WARNING, Verbosity.NORMAL: logging.INFO, Verbosity.VERBOSE: logging.DEBUG}


def sign(arguments: argparse.Namespace) -> None:
    """Run the service of an installation until a signal."""
    serve(arguments.prefix)


def serve(prefix: Path) -> None:
    """Run the service of the installation below a prefix until a signal."""
    paths = SystemPaths(prefix)
    if os.geteuid() != 0 and prefix == Path("/"):
        raise refusal("the signing service of this host runs as root only", "sudo datacrumbs_sign_probes")
    logging.basicConfig(level=_LEVELS[verbosity()], format="%(name)s: %(message)s", stream=sys.stderr)
    authority = open_authority(paths)
    listener = passed_socket()
    own = listener is None
    if listener is None:
        _check_run_directory(paths)
        listener = listen(paths.signing_socket, SIGNING)
    where = listener.getsockname()

    def ready() -> None:
        inform(f"ready on {where}, key {checked_key_id(paths)[:16]}")
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
