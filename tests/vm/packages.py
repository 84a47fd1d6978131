"""Debian's packages for any architecture, by an apt with a state of its own.

The host's mirrors, proxies and keys serve; its package lists and what is installed on it are neither
read nor changed.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SUITE = "bookworm"
_SOURCES = Path("/etc/apt/sources.list.d")
_SECONDS = 900.0


class GuestError(Exception):
    """A guest cannot be provided, did not start, or did not end by itself."""


class Packages:
    """The packages of one architecture.

    Args:
        directory: Where the state is kept; made when it is missing.
        architecture: As Debian calls it.

    """

    def __init__(self, directory: Path, architecture: str) -> None:
        self._place = (directory / architecture).resolve()
        self._architecture = architecture
        for name in ("lists/partial", "cache/archives/partial"):
            (self._place / name).mkdir(parents=True, exist_ok=True)
        (self._place / "status").touch()  # nothing is installed
        lines = (f"deb [signed-by={KEYRING}] {uri} {_SUITE}{pocket} main\n" for pocket, uri in _mirrors().items())
        (self._place / "sources.list").write_text("".join(lines), encoding="utf-8")

    def update(self) -> None:
        """Fetch the lists of packages."""
        self._run("apt-get", "update")

    def names(self, prefix: str) -> list[str]:
        """The packages whose names begin so."""
        return self._run("apt-cache", "pkgnames", prefix).split()

    def download(self, *packages: str) -> list[Path]:
        """Fetch these packages alone; gives their files."""
        archives = self._place / "cache/archives"
        self._run("apt-get", "download", *packages, directory=archives)
        return sorted(archives.glob("*.deb"))

    def download_all(self, *packages: str) -> list[Path]:
        """Fetch these packages and all that they depend on; gives their files."""
        self._run("apt-get", "install", "-y", "--download-only", *packages)
        return sorted((self._place / "cache/archives").glob("*.deb"))

    def clean(self) -> None:
        """Remove the packages' files."""
        for package in (self._place / "cache/archives").glob("*.deb"):
            package.unlink()

    def _run(self, command: str, *arguments: str, directory: Path | None = None) -> str:
        settings = {
            "Dir::State": self._place,
            "Dir::State::Lists": self._place / "lists",
            "Dir::State::status": self._place / "status",
            "Dir::Cache": self._place / "cache",
            "Dir::Etc::SourceList": self._place / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "APT::Architecture": self._architecture,
            "APT::Architectures::": self._architecture,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "3",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        try:
            done = subprocess.run(
                [command, "-q", *options, *arguments],
                cwd=directory,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise GuestError(f"{command} {' '.join(arguments)}: no end within {_SECONDS:.0f} s") from None
        if done.returncode:
            raise GuestError(f"{command} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def make_merged_root(root: Path) -> None:
    """A directory whose `/bin` and the like are links into `/usr`, as all of Debian's are."""
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def unpack(package: Path, root: Path) -> None:
    """Unpack a package's files; links to directories that ``root`` has stay links."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", root, "--keep-directory-symlink"], stdin=archive.stdout, check=True)
    if archive.returncode:
        raise GuestError(f"{package.name} cannot be unpacked")


# The host's own mirrors, by what follows the suite's name.
def _mirrors() -> dict[str, str]:
    mirrors: dict[str, str] = {}
    texts = [path.read_text(encoding="utf-8") for path in sorted(_SOURCES.glob("*.sources"))]
    for stanza in re.split(r"\n\s*\n", "\n\n".join(texts)):
        fields = dict(re.findall(r"^(\w[\w-]*):\s*(.*)$", stanza, re.MULTILINE))
        for suite in fields.get("Suites", "").split():
            if suite in {_SUITE, f"{_SUITE}-security"} and fields.get("URIs"):
                mirrors[suite.removeprefix(_SUITE)] = fields["URIs"].split()[0]
    if "" not in mirrors:
        raise GuestError(f"no mirror of {_SUITE} in {_SOURCES}/*.sources; expected Debian's own file there")
    return mirrors
