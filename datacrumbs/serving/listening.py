"""The socket at which a service listens."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.serving.replies import ServiceName

SOCKET_MODE = 0o666  # any user may ask; the policy decides
BACKLOG = 1024  # connects beyond it wait for the service, in their order


def listen(path: Path, name: ServiceName) -> socket.socket:
    """Bind a service's socket, in a directory that only its owner may change.

    Raises:
        DatacrumbsError: (exit 1) when a service is listening there already or the path is no socket.
    """
    with ExitStack() as failing:
        listener = failing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            _remove_stale(path, name)
            listener.bind(str(path))
            path.chmod(SOCKET_MODE)
            listener.listen(BACKLOG)
        except OSError as error:
            raise DatacrumbsError(f"{path}: cannot listen: {error}", hint="run datacrumbs_setup first") from None
        failing.pop_all()
    return listener


def _remove_stale(path: Path, name: ServiceName) -> None:
    if path.is_symlink() or (path.exists() and not path.is_socket()):
        raise refusal(f"{path}: exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except FileNotFoundError:
            return
        else:
            raise DatacrumbsError(f"{path}: a {name.words} is already listening", hint="stop it first")
