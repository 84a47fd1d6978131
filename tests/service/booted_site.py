"""Booted machines with an installation on each, of which the first one signs probe files."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.testing import read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests
from .conftest import Machine, Machines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOUND = 180.0
BLOCK = 7
SYSTEM = "prolog_seconds: 100\nepilog_seconds: 100\nflush_seconds: 0.2\n"


def dd(count: int | str) -> str:
    """A command that writes this number of blocks, of a size that nothing else writes."""
    return f"dd if=/dev/zero of=/dev/null bs={BLOCK} count={count} status=none"


class Site(Machines):
    """The machines, from `start` to `stop`; what runs jobs on them is a subclass's.

    Args:
        names: Of its nodes.
    """

    def start(self) -> None:
        """Boot, install, and wait until jobs can begin on all nodes."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._boot, self.nodes))
            key = next(self.first.path("/etc/datacrumbs/trust").glob("*.pem")).read_bytes()
            list(pool.map(lambda name: self._install(name, key), list(self.nodes)[1:]))
            list(pool.map(self.serve, self.nodes))
        self.awaited(self.is_up)

    def stop(self) -> None:
        """Power all off, without waiting for jobs."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(_off, self.nodes.values()))

    def serve(self, name: str) -> None:
        """Have a node run jobs."""
        raise NotImplementedError

    def is_up(self) -> bool:
        """Whether jobs can begin on all nodes."""
        raise NotImplementedError

    def logs(self) -> str:
        """The ends of what the scheduler has logged."""
        raise NotImplementedError

    def prefix(self, name: str) -> str:  # noqa: ARG002 - a subclass has others
        """Where the installation of a node is."""
        return ""

    def everywhere(self, path: str) -> None:
        """Copy a user's file of the first node to the same place on the others, as a shared home would have it."""
        source = self.first.path(path)
        for node in list(self.nodes.values())[1:]:
            shutil.copyfile(source, node.path(path))

    def compiled(self) -> None:
        """Give every node the programs that the first one has compiled."""
        place = "var/lib/datacrumbs/programs"
        for name, node in list(self.nodes.items())[1:]:
            shutil.copytree(self.first.path(f"/{place}"), node.path(f"{self.prefix(name)}/{place}"), dirs_exist_ok=True)

    def probes(self, user: str) -> str:
        """A probe file of a user, on all nodes, whose program every node has compiled."""
        path = self.first.probes(user)
        self.everywhere(path)
        self.first.environment("compiled", f"PROBE_FILE={path}\nUSER={user}\n")
        self.first.done("systemctl", "start", "datacrumbs@compiled")
        self.first.done("systemctl", "stop", "datacrumbs@compiled")
        self.compiled()
        return path

    def traces(self, user: str, run: str) -> dict[str, list[Path]]:
        """Node -> traces of a run."""
        return {
            name: sorted(
                path
                for path in node.path(f"{self.prefix(name)}/var/log/datacrumbs").glob(f"{user}/*/*-{run}-{name}.pfw.gz")
                if path.name.count("-") == run.count("-") + 2  # not of a run whose name begins otherwise
            )
            for name, node in self.nodes.items()
        }

    def writes(self, user: str, run: str) -> dict[str, list[int]]:
        """Node -> how many blocks each `dd` there wrote, by the node's own trace, which must be complete."""
        found = {}
        for node, traces in self.traces(user, run).items():
            for trace in traces:
                lines = read_lines(trace)
                assert lines.footer
                calls = Counter(call["pid"] for call in lines.named("write") if call["args"]["ret"] == BLOCK)
                found[node] = sorted(calls.values())
        return found

    def notes(self) -> list[str]:
        """What prologs have left on any node."""
        places = [node.path(f"{self.prefix(name)}/run/datacrumbs/jobs") for name, node in self.nodes.items()]
        return [path.name for place in places if place.exists() for path in place.iterdir()]

    def awaited(self, reached: Callable[[], bool], problem: str = "") -> None:
        """Wait until something is so."""
        until(reached, lambda: problem or self.logs())

    def _boot(self, name: str) -> None:
        node = self.nodes[name]
        node.start()
        node.done("hostname", name)
        configuration = node.path(f"{self.prefix(name)}/etc/datacrumbs")
        configuration.mkdir(parents=True)
        (configuration / "datacrumbs.yaml").write_text(SYSTEM)
        if node is self.first:
            node.set_up()

    def _install(self, name: str, key: bytes) -> None:
        node = self.nodes[name]
        node.make_users()
        node.path("/etc/site.pem").write_bytes(key)
        prefix = ["--prefix", self.prefix(name)] if self.prefix(name) else []
        node.done_product("datacrumbs_setup", "--stage", "compute", "--trust-key", "/etc/site.pem", *prefix)
        node.done("systemctl", "daemon-reload")


def _off(node: Machine) -> None:
    with suppress(subprocess.TimeoutExpired):
        if node.init and node.process is not None and node.process.poll() is None:
            node.run("systemctl", "poweroff", "--force", "--force")
            node.process.wait(20)
    node.stop()
