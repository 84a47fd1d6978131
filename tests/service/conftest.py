"""A booted systemd with a whole installation: keys, units, the signing socket, and two users."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .box import Box, started

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore = [] if shutil.which("flux") else ["test_flux.py"]
"""No distribution has packages of Flux, so no bed of CI has it: these are for hosts on which it was built."""
USERS = ("alice", "bob")
# What every command and every boot changes.
CHANGING = ("/var/log/journal", "/var/log/wtmp", "/var/lib/systemd", "/run/systemd", "/run/log", "/run/udev")
SITE = "capture_probes:\n  - provider: sys\n    preset: data\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.service)


class Machine(Box):
    """A box in which users have probe files and runs are units."""

    def set_up(self) -> None:
        """Install, make the users, and start the signing socket."""
        self.make_users()
        self.done_product("datacrumbs_setup")
        self.done("systemctl", "daemon-reload")
        self.done("systemctl", "start", "datacrumbs_sign_probes.socket")

    def make_users(self) -> None:
        """Make the same users with the same numbers in each machine."""
        for user in USERS:
            self.done("useradd", "--create-home", user)

    def start_munge(self, key: bytes) -> None:
        """Start munged with the key that all machines of a site have."""
        path = self.path("/etc/munge/munge.key")
        path.unlink(missing_ok=True)
        path.write_bytes(key)
        self.done("sh", "-c", "chown munge:munge /etc/munge/munge.key && chmod 400 /etc/munge/munge.key")
        self.done("install", "-d", "-o", "munge", "-g", "munge", "-m", "755", "/run/munge")
        munged = ("munged", "-F", "--log-file=/run/munge/log", "--seed-file=/run/munge/seed")
        self.done("systemd-run", "--quiet", "--unit=tests-munged", "--uid=munge", *munged)
        self.wait_for(self.path("/run/munge/munge.socket.2").exists, "no munged")

    def done(self, *command: str | Path) -> str:
        """Run a command that must succeed; gives its output."""
        result = self.run(*command)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout

    def done_product(self, name: str, *arguments: str | Path, user: str = "") -> str:
        """Run one of the product's commands, which must succeed."""
        result = self.product(name, *arguments, user=user)
        assert result.returncode == 0, f"{name}: {result.stdout}{result.stderr}"
        return result.stdout

    def probes(self, user: str, site: str = SITE, name: str = "probes.json.gz") -> str:
        """A probe file that a user has composed and had signed, in the user's home."""
        site_file = f"/home/{user}/site.yaml"
        self.path(site_file).write_text(site)
        output = f"/home/{user}/{name}"
        self.done_product("datacrumbs_probe_configurator", site_file, output, user=user)
        return output

    def environment(self, run: str, text: str) -> None:
        """Write the environment file of a run, as a scheduler's prolog does."""
        self.path(f"/run/datacrumbs/datacrumbs-{run}.env").write_text(text)

    def wrap(self, user: str, *command: str) -> None:
        """Run a marked program as a user."""
        self.done_product("datacrumbs_wrap", *command, user=user)

    def log(self, run: str) -> str:
        """The log of a run; empty when there is none."""
        path = self.path(f"/run/datacrumbs/datacrumbs-{run}.log")
        return path.read_text() if path.exists() else ""

    def trace(self, user: str, run: str) -> Path:
        """The trace of a run, as the host reaches it."""
        (found,) = self.path("/var/log/datacrumbs").glob(f"{user}/*/*-{run}-*.pfw.gz")
        return found

    def files(self) -> set[str]:
        """Every file and directory where an installation could leave something."""
        listed = self.done("find", "/etc", "/var", "/run", "/usr/lib/systemd", "/usr/local", "-xdev").splitlines()
        return {path for path in listed if not path.startswith(CHANGING)}

    def run_files(self) -> set[str]:
        """Names in the run directory, but the socket's and environment files'."""
        names = {path.name for path in self.path("/run/datacrumbs").iterdir() if not path.is_dir()}
        return {name for name in names if name != "sign.sock" and not name.endswith(".env")}


class Machines:
    """Several of them.

    Args:
        names: Of each.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.nodes = {name: Machine(name) for name in names}

    @property
    def first(self) -> Machine:
        """The one from which the others are reached."""
        return next(iter(self.nodes.values()))


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    with started(lambda: Machine("units"), "systemd-nspawn") as box:
        box.set_up()
        yield box


@pytest.fixture(scope="session")
def alices(machine: Machine) -> str:
    """A probe file of alice."""
    return machine.probes("alice")


@pytest.fixture(scope="session")
def bobs(machine: Machine) -> str:
    """A probe file of bob."""
    return machine.probes("bob")
