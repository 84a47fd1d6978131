"""Distributions' packages, built from a copy of the checkout, and clean roots to install them in."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
# What builds and runs is the distribution's own, whatever else is on this machine.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
_NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "copies")
_NOT_OF_PACKAGES = ("proc", "sys", "dev", "tmp", "lib/modules", "usr/src", "var/lib/dpkg", "var/cache", "var/log")
_MOUNTS = "for each in proc sys dev; do mount --rbind /$each $0/$each; done; "
_KERNEL = "for each in lib/modules usr/src; do mount --rbind /$each $0/$each; done; "


def run(*words, status=0, **options):
    done = subprocess.run(
        [str(word) for word in words],
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
        env=ENVIRONMENT,
        **options,
    )
    assert done.returncode == status, f"{words}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


class Root:
    """A root directory that commands are run in, which see this machine's kernel."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *words, status=0):
        program = _MOUNTS + _KERNEL + 'exec chroot "$0" "$@"'
        entered = ("unshare", "--mount", "--propagation", "private", "sh", "-c", program, self.directory)
        return run(*entered, *words, status=status)

    def files(self):
        """All files and directories but those that package management keeps about itself."""
        own = re.compile(f"/({'|'.join(_NOT_OF_PACKAGES)})(/|$)")
        found = set()
        for place, directories, names in os.walk(self.directory):
            below = Path("/") / Path(place).relative_to(self.directory)
            directories[:] = [name for name in directories if not own.match(str(below / name))]
            found |= {str(below / name) for name in (*directories, *names)}
        return found


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A copy of the checkout."""
    copy = tmp_path_factory.mktemp("source") / "datacrumbs"
    shutil.copytree(REPOSITORY, copy, ignore=_NOT_COPIED)
    return copy


@pytest.fixture(scope="session")
def debs(source):
    """The Debian packages, by name, built by what the distribution has."""
    run("dpkg-buildpackage", "--build=binary", "--unsigned-changes", "--unsigned-buildinfo", cwd=source)
    found = {file.name.partition("_")[0]: file for file in source.parent.glob("*.deb")}
    return {name: file for name, file in found.items() if not name.endswith("-dbgsym")}


@pytest.fixture
def root(debs, tmp_path):
    """A root directory of the distribution with what the packages depend on; kept as an archive between sessions."""
    depends = run("dpkg-deb", "--field", debs["datacrumbs"], "Depends").stdout
    names = sorted(re.sub(r"\(.*?\)|\|[^,]*|:any", "", depends).replace(" ", "").strip().split(","))
    digest = hashlib.sha256(" ".join((SUITE, *names)).encode()).hexdigest()[:12]
    archive = REPOSITORY / ".cache/packages" / f"{SUITE}-{digest}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".new.tar")
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(names)}", SUITE, partial)
        partial.rename(archive)
    directory = tmp_path / "root"
    directory.mkdir(mode=0o755)
    run("tar", "--extract", "--file", archive, "--directory", directory, "--exclude=./dev/*")
    (directory / "usr/lib/modules").mkdir()  # where the kernel's headers are shown
    yield Root(directory)
    shutil.rmtree(directory, ignore_errors=True)
