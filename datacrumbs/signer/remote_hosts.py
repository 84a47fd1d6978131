"""Which other hosts may ask for signatures: ``remote_hosts`` of ``policy.yaml``."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.document import read_document
from datacrumbs.serving.denial import DenialError, denying
from datacrumbs.signer.policy import SECTIONS

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
    from pathlib import Path

    Networks = tuple[IPv4Network | IPv6Network, ...]

KEY = "remote_hosts"


def read_remote_hosts(path: Path) -> Networks:
    """The networks and single addresses of other hosts; none where the policy has no such key.

    Raises:
        DatacrumbsError: (exit 2) for an unknown key or what is no address; (exit 3) when somebody else than the
            administrator may change the file.
    """
    document = read_document(path, protected=True).mapping(SECTIONS)
    networks = []
    for item in document[KEY].items() if KEY in document else ():
        try:
            networks.append(ip_network(item.text()))
        except ValueError as error:
            raise item.error(str(error), "an address such as 10.0.0.12 or a network such as 10.0.1.0/28") from None
    return tuple(networks)


class RemoteHosts:
    """The hosts that the policy names; the file is read when it has changed, not for each connection."""

    def __init__(self, policy: Path) -> None:
        self._policy = policy
        self._state: tuple[int, int, int] | None = None
        self._networks: Networks = ()
        self._problem: DatacrumbsError | None = None

    def check(self, address: IPv4Address | IPv6Address) -> None:
        """Check that a host may ask.

        Raises:
            DenialError: When the policy does not name it, or cannot be read.
        """
        with denying("service.configuration"):
            networks = self._current()
        if not any(address in network for network in networks):
            raise DenialError(
                "remote.host", f"policy: {address} is not among {KEY}", "ask the administrator of the signing host"
            )

    def _current(self) -> Networks:
        try:
            status = self._policy.stat()
        except OSError as error:
            raise DatacrumbsError(f"{self._policy}: {error.strerror}") from None
        state = (status.st_ino, status.st_mtime_ns, status.st_size)
        if state != self._state:
            self._state, self._networks, self._problem = state, (), None
            try:
                self._networks = read_remote_hosts(self._policy)
            except DatacrumbsError as error:
                self._problem = error
        if self._problem is not None:
            raise DatacrumbsError(self._problem.message, hint=self._problem.hint)
        return self._networks
