"""The root of a guest of another architecture: Debian's packages, unpacked, and a virtual environment for its Python.

No maintainer script runs: what those would have made and the tests need is written here. The C of the
product is compiled in the guest.
"""

from __future__ import annotations

import compileall
import hashlib
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

from .packages import GuestError, Packages, make_merged_root, unpack

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = "opt/environment"
_PACKAGES = (
    *("base-files", "base-passwd", "bash", "binutils", "busybox-static", "coreutils", "dash", "diffutils", "e2fsprogs"),
    *("file", "findutils", "gawk", "gcc", "grep", "gzip", "hostname", "iproute2", "kmod", "libbpf-dev", "libc-bin"),
    *("libc6-dev", "libhdf5-dev", "login", "make", "mount", "passwd", "patchelf"),
    *("procps", "python3", "python3-bpfcc", "sed", "strace", "systemtap-sdt-dev", "tar", "util-linux"),
)
_TOOLS = ["pytest", "pytest-timeout", "hypothesis", "setuptools>=77"]
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
_PYTHON = (3, 11)  # bookworm's
_SECONDS = 900.0
_FILES = {
    "etc/shadow": "",
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
}
_LINKS = {"usr/bin/cc": "gcc", "usr/bin/awk": "gawk"}


def provide_root(architecture: str, machine: str, checkout: Path, cache: Path) -> Path:
    """A root for this architecture, made below ``cache`` once for each list of what belongs into it.

    Raises:
        GuestError: Packages cannot be fetched.

    """
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["report"], *_TOOLS]
    wanted = hashlib.sha256(repr((_PACKAGES, requirements)).encode()).hexdigest()[:12]
    root = cache / "roots" / f"{architecture}-{wanted}"
    if (root / "complete").exists():
        return root
    for former in root.parent.glob(f"{architecture}-*"):
        shutil.rmtree(former)
    make_merged_root(root)
    packages = Packages(cache / "apt", architecture)
    packages.update()
    for package in packages.download_all(*_PACKAGES):
        unpack(package, root)
    packages.clean()
    _write_configuration(root)
    _install_python_packages(requirements, machine, root / ENVIRONMENT / "lib/python3.11/site-packages")
    if sys.version_info[:2] == _PYTHON:
        for directory in ("usr/lib/python3.11", "usr/lib/python3", ENVIRONMENT):
            compileall.compile_dir(root / directory, quiet=2)
    (root / "complete").touch()
    return root


def _write_configuration(root: Path) -> None:
    for name in ("passwd", "group"):
        shutil.copyfile(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    for name, text in _FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    for name, target in _LINKS.items():
        (root / name).symlink_to(target)


def _install_python_packages(requirements: list[str], machine: str, place: Path) -> None:
    platforms = [word for name in _PLATFORMS for word in ("--platform", f"{name}_{machine}")]
    version = ".".join(map(str, _PYTHON))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", version, *platforms]
    try:
        subprocess.run(
            [*command, "--target", place, *requirements], capture_output=True, text=True, check=True, timeout=_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise GuestError(f"pip cannot fetch packages for {machine}: {error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise GuestError(f"pip: no end within {_SECONDS:.0f} s") from None
