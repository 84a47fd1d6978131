"""What ``datacrumbs_sign_probes`` does: it opens the authority, or finds the signing host, and serves."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands import _services
from datacrumbs.errors import DatacrumbsError, refusal, usage_error
from datacrumbs.secure.systemd import passed_socket, passed_sockets
from datacrumbs.serving.remote_server import Remote
from datacrumbs.signer.authority import checked_key_id, open_authority
from datacrumbs.signer.relay import Relay, SigningHost, host_and_port
from datacrumbs.signer.remote_hosts import RemoteHosts, read_remote_hosts
from datacrumbs.signer.service import Service
from datacrumbs.system import SystemPaths, make_searched, read_system_configuration

if TYPE_CHECKING:
    import argparse


def sign(arguments: argparse.Namespace) -> None:
    """Run the service of an installation, or its relay, until a signal."""
    if arguments.relay:
        relay(arguments.prefix)
    else:
        serve(arguments.prefix, arguments.listen)


def serve(prefix: Path, listen: str = "") -> None:
    """Run the service of the installation below a prefix until a signal.

    Args:
        prefix: Of the installation.
        listen: Address and port where relays of other hosts ask; empty where systemd listens, or nothing does.
    """
    paths = _begun(prefix, "datacrumbs_sign_probes")
    authority = open_authority(paths)
    read_remote_hosts(paths.policy)
    make_searched(paths.run)
    passed = passed_sockets()
    network = _listener(listen) if listen else passed.network
    remote = None if network is None else Remote(network, RemoteHosts(paths.policy))
    service = Service(authority, remote=remote)
    _services.serve(service, paths.signing_socket, passed.local, lambda: f", key {checked_key_id(paths)[:16]}")


def relay(prefix: Path) -> None:
    """Run the relay of the installation below a prefix until a signal."""
    paths = _begun(prefix, "datacrumbs_sign_probes --relay")
    configured = read_system_configuration(paths).signing_host
    if not configured:
        raise usage_error(f"{paths.system_file}: a relay needs the key signing_host, e.g. signing_host: 10.0.0.1:7411")
    name, port = host_and_port(configured, f"{paths.system_file}: signing_host")
    make_searched(paths.run)
    where = SigningHost(name, port, paths.trusted_keys)
    _services.serve(Relay(where), paths.signing_socket, passed_socket(), lambda: f", for {where}")


def _begun(prefix: Path, command: str) -> SystemPaths:
    if os.geteuid() != 0 and prefix == Path("/"):
        raise refusal("the signing service of this host runs as root only", f"sudo {command}")
    _services.begin_log()
    return SystemPaths(prefix)


def _listener(text: str) -> socket.socket:
    host, port = host_and_port(text, "--listen")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise DatacrumbsError(f"{text}: cannot listen: {error.strerror or error}") from None
