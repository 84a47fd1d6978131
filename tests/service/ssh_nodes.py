"""Booted machines that reach each other by a real sshd in each, and an installation on all of them."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from .conftest import Machines

SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/tests_key
AuthorizedKeysFile /etc/ssh/tests_client.pub
PidFile none
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
"""
CLIENT = """
Host {names}
	IdentityFile /etc/ssh/tests_client
	UserKnownHostsFile /etc/ssh/tests_known
	StrictHostKeyChecking yes
"""
HOST = "Host {name}\n\tHostName 127.0.0.1\n\tPort {port}\n\tHostKeyAlias {name}\n"


class SshNodes(Machines):
    """Machines of which the first one signs probe files, and root of it may log in to all as root.

    Args:
        names: Of them; each has the addresses of the host, and a port of its own.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self.ports = {name: 10000 + os.getpid() % 2500 * 4 + place for place, name in enumerate(names)}

    def start(self) -> None:
        """Boot all, and wait until each answers."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._boot, self.nodes))
        self.first.set_up()
        for node in list(self.nodes.values())[1:]:
            node.make_users()
        self._let_in()
        for name in self.nodes:
            self.serve(name)

    def stop(self) -> None:
        """Power all off."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: node.stop(), self.nodes.values()))

    def serve(self, name: str) -> None:
        """Have a node answer."""
        node = self.nodes[name]
        node.done("systemd-run", "--quiet", "--unit=tests-sshd", "/usr/sbin/sshd", "-D", "-f", "/etc/ssh/tests_config")
        listening = f"until bash -c ': </dev/tcp/127.0.0.1/{self.ports[name]}' 2>/dev/null; do sleep 0.05; done"
        node.done("timeout", "60", "sh", "-c", listening)

    def refuse(self, name: str) -> None:
        """Have nothing answer on a node."""
        self.nodes[name].done("systemctl", "stop", "tests-sshd")

    def everywhere(self, path: str) -> None:
        """Copy a file of the first node to the same place on the others, as a shared file system would have it."""
        for node in list(self.nodes.values())[1:]:
            target = node.path(path)
            if self.first.path(path).is_dir():
                shutil.copytree(self.first.path(path), target, dirs_exist_ok=True)
            else:
                shutil.copyfile(self.first.path(path), target)

    def _boot(self, name: str) -> None:
        node = self.nodes[name]
        node.start()
        node.done("hostname", name)
        node.path("/run/sshd").mkdir(exist_ok=True)
        node.path("/etc/ssh/tests_config").write_text(SSHD.format(port=self.ports[name]))
        node.done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/tests_key")

    def _let_in(self) -> None:
        first = self.first
        first.done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/tests_client")
        self.everywhere("/etc/ssh/tests_client.pub")
        keys = [f"{name} {node.path('/etc/ssh/tests_key.pub').read_text()}" for name, node in self.nodes.items()]
        first.path("/etc/ssh/tests_known").write_text("".join(keys))
        hosts = "".join(HOST.format(name=name, port=port) for name, port in self.ports.items())
        (first.path("/etc/ssh/ssh_config.d") / "tests.conf").write_text(
            hosts + CLIENT.format(names=" ".join(self.nodes))
        )
