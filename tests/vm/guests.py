"""The machines that the tests boot: each with a kernel of its own, and with a root where the host's cannot serve.

What they need comes as Debian's packages, unpacked below the cache directory and never installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .packages import KEYRING, Packages, make_merged_root, unpack

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Guest:
    """A machine to boot.

    Attributes:
        name: As the marker `guest` and the names of the tests have it; none is a part of another.
        architecture: As Debian calls it.
        machine: As the kernel calls it.
        release: Pattern of the kernel's release; the newest that Debian has is taken.
        method: The way in which the engine attaches to functions there.
        own_root: Whether it has a root of its own (`roots.py`), as a machine needs that cannot run the host's programs.

    """

    name: str
    architecture: str
    machine: str
    release: str
    method: str
    own_root: bool = False


GUESTS = {
    guest.name: guest
    for guest in (
        Guest("6.1-amd64", "amd64", "x86_64", r"6\.1\.0-\d+-amd64", "perf event link with cookie"),
        Guest("6.12-amd64", "amd64", "x86_64", r"6\.12\.\d+\+deb12-amd64", "uprobe multi link"),
        Guest("6.1-arm64", "arm64", "aarch64", r"6\.1\.0-\d+-arm64", "perf event link with cookie", own_root=True),
    )
}
DEFAULT = "6.1-amd64"


@dataclass(frozen=True, slots=True)
class GuestKernel:
    """A kernel to boot: its release, its image, and the directory that has its modules and headers."""

    release: str
    image: Path
    root: Path


def missing(guest: Guest) -> str:
    """Why the guest's parts cannot be had on this host; empty when they can."""
    if not guest.own_root and os.uname().machine != guest.machine:
        return f"the guest is a machine of {guest.machine}, as its host must be: it runs the host's programs"
    return "" if KEYRING.exists() else f"no {KEYRING}: the guests' kernels are Debian's"


def provide_kernel(guest: Guest, cache: Path) -> GuestKernel:
    """The guest's kernel with its modules and headers, fetched and unpacked below ``cache`` once.

    Raises:
        GuestError: The packages cannot be fetched.

    """
    kernels = cache / "kernels"
    present = [path.parent.name for path in kernels.glob("*/complete") if re.fullmatch(guest.release, path.parent.name)]
    release = max(present, key=_version) if present else _fetch_kernel(guest, kernels, cache)
    return GuestKernel(release, kernels / release / f"boot/vmlinuz-{release}", kernels / release)


def _fetch_kernel(guest: Guest, kernels: Path, cache: Path) -> str:
    packages = Packages(cache / "apt", guest.architecture)
    packages.update()
    image = re.compile(f"linux-image-({guest.release})")
    found = [match[1] for name in packages.names("linux-image-") if (match := image.fullmatch(name))]
    release = max(found, key=_version, default=guest.release)
    common = release.removesuffix(guest.architecture) + "common"
    root = kernels / release
    shutil.rmtree(root, ignore_errors=True)
    make_merged_root(root)
    for package in packages.download(f"linux-image-{release}", f"linux-headers-{release}", f"linux-headers-{common}"):
        unpack(package, root)
    subprocess.run(["depmod", "-b", root, release], check=True)
    (root / "complete").touch()
    packages.clean()
    return release


def _version(release: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", release)]
