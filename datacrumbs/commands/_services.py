"""What the two services for users do when they are started: ``datacrumbs_sign_probes`` and ``datacrumbs_runs``."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from datacrumbs.errors import refusal
from datacrumbs.output import Verbosity, inform, verbosity
from datacrumbs.secure.systemd import notify, passed_socket
from datacrumbs.serving.listening import listen
from datacrumbs.system import SystemPaths, make_searched

if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.serving.server import Server

_LEVELS = {Verbosity.QUIET: logging.WARNING, Verbosity.NORMAL: logging.INFO, Verbosity.VERBOSE: logging.DEBUG}


def serve_runs(arguments: argparse.Namespace) -> None:
    """Run the service of runs of an installation until a signal."""
    from datacrumbs.runs.launching import launcher
    from datacrumbs.runs.run_policy import read_run_policy
    from datacrumbs.runs.run_service import RunService

    paths = SystemPaths(arguments.prefix.absolute())
    if os.geteuid() != 0:
        raise refusal("the service of runs runs as root only", "sudo datacrumbs_runs")
    begin_log()
    read_run_policy(paths.policy)
    make_searched(paths.run)
    make_searched(paths.runs)
    serve(RunService(paths, launcher(paths)), paths.runs_socket, passed_socket(), lambda: "")


def begin_log() -> None:
    """Log to standard error, as much as the command line asks for."""
    logging.basicConfig(level=_LEVELS[verbosity()], format="%(name)s: %(message)s", stream=sys.stderr)


def serve(service: Server, path: Path, listener: socket.socket | None, more: Callable[[], str]) -> None:
    """Run a service until a signal, on systemd's socket or one of its own.

    Args:
        service: It.
        path: Of the socket.
        listener: Systemd's, if it passed one.
        more: What to say of it once it answers.
    """
    own = listener is None
    if listener is None:
        listener = listen(path, service.name)
    where = listener.getsockname()

    def ready() -> None:
        inform(f"ready on {where}{more()}")
        notify("READY=1")

    try:
        asyncio.run(service.run(listener, ready))
        notify("STOPPING=1")
    finally:
        if own:  # systemd keeps its own socket
            path.unlink(missing_ok=True)
