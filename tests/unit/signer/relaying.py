"""A signing host and another login node on one machine, with a munged for both: what tests of the relay run in."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from datacrumbs.install.step import performed
from datacrumbs.install.steps import install
from datacrumbs.serving.protocol import LENGTH, receive_message
from datacrumbs.signer.relay import SigningHost, connect, host_and_port
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import SigningInstallation

BOUND = 300.0  # seconds until what never comes is a failure
HERE = "127.0.0.1"
"""The address from which all connections to the loopback network come."""


class TwoHosts:
    """The signing host is the installation; the other one has a prefix of its own, and no key.

    Args:
        signing: The installation of the signing host.
        munged: The socket that both use.
    """

    def __init__(self, signing: SigningInstallation, munged: Path) -> None:
        self.signing, self.munged = signing, munged
        number = os.getpid()
        self.other = SystemPaths(signing.directory / "other")
        self.other.prefix.mkdir()
        list(performed(install(self.other, "relay"), dry_run=False))
        # An address of this process's own, so that the port is free.
        self.set_address(f"127.{1 + number // 65536 % 250}.{number // 256 % 256}.{number % 256}:7411")
        for key in signing.paths.trusted_keys.glob("*.pem"):
            shutil.copy(key, self.other.trusted_keys)
        self.allow(HERE)

    def set_address(self, address: str) -> None:
        """Where the signing host listens, and the relay asks."""
        self.address = address
        self.other.system_file.write_text(f"signing_host: {address}\n")

    @property
    def where(self) -> SigningHost:
        return SigningHost(*host_and_port(self.address, "test"), self.other.trusted_keys)

    def allow(self, *hosts: str) -> None:
        """Let these hosts ask, and no others."""
        rules = "rules:\n  - users: ['*']\n"
        self.signing.policy(f"{rules}remote_hosts: [{', '.join(hosts)}]\n" if hosts else rules)

    def signer(self, limits: str = "", munged: Path | None = None, network: str = "", before: str = "", **bounds: int):
        """The signing service, with other bounds of `remote_server` where they are given, and other lines before."""
        lines = [self._before(munged, network), "from datacrumbs.serving import remote_server"]
        lines += [f"remote_server.{name} = {number}" for name, number in bounds.items()] + [before]
        return self.signing.service(limits, "\n".join(lines), serve=f"serve(Path({{!r}}), {self.address!r})")

    def relay(self, munged: Path | None = None, network: str = "", before: str = ""):
        """The relay of the other host, with other lines before; its log goes to that of the signing service."""
        lines = f"{self._before(munged, network)}\n{before}"
        return self.signing.service("", lines, serve=f"relay(Path({str(self.other.prefix)!r}))")

    @contextmanager
    def both(self) -> Iterator[None]:
        """Both services."""
        with self.signer(), self.relay():
            yield

    def _before(self, munged: Path | None, network: str) -> str:
        lines = [f"from datacrumbs.serving import munge; munge.SOCKET = {str(munged or self.munged)!r}"]
        if network:
            namespace = f"os.open('/run/netns/{network}', os.O_RDONLY)"
            lines.append(f"import ctypes, os; assert ctypes.CDLL(None).setns({namespace}, 0) == 0")
        return "\n".join(lines)


def connected(where: SigningHost) -> socket.socket:
    """A connection as the relay has it, which waits longer."""
    connection = connect(where)
    connection.settimeout(BOUND)
    return connection


def ask(where: SigningHost, made: Callable[[bytes], bytes], body: bytes) -> bytes:
    """The reply to a request with the credential that ``made`` makes of the nonce's message."""
    with connected(where) as connection:
        text = made(receive_message(connection, 1 << 16))
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(LENGTH.pack(len(text)) + text + LENGTH.pack(len(body)) + body)
        return receive_message(connection, 1 << 20)
