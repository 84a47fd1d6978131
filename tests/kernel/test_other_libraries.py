"""Programs in a root directory with a C library of another release: found in there, probed, and named as seen there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import datacrumbs
from datacrumbs.elf.build_id import file_build_id
from datacrumbs.probefile.storage import read_unverified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel

SUITE = "trixie"  # this host's is another one
CACHE = Path(os.environ.get("DATACRUMBS_ROOTS", Path(datacrumbs.__file__).parents[1] / ".cache/roots"))
SITE = "capture_probes:\n  - provider: posix\n    preset: data\n"
SECONDS = 600


@pytest.fixture(scope="module")
def root() -> Path:
    """A root directory of another release of Debian, with its programs' own C library and a loader's cache."""
    made = CACHE / SUITE
    if not made.exists():
        if shutil.which("mmdebstrap") is None:
            pytest.skip("mmdebstrap is not installed")
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = CACHE / f"{SUITE}.{os.getpid()}"
        packages = "--include=coreutils,libc6"
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=extract", packages, SUITE, partial], check=True, timeout=SECONDS
        )
        for name in ("bin", "lib", "lib64"):
            (partial / name).symlink_to(f"usr/{name}")
        subprocess.run(["/sbin/ldconfig", "-r", partial], check=True)
        partial.rename(made)
    return made.resolve()


@pytest.fixture
def process(root: Path) -> Iterator[int]:
    """A process in that root and in a mount namespace of its own."""
    command = ["unshare", "--mount", f"--root={root}", "/usr/bin/cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        cat.stdin.write(b"ready\n")
        cat.stdin.flush()
        assert cat.stdout.readline() == b"ready\n"  # it is what runs now
        yield cat.pid
        cat.stdin.close()


def libc(root: Path) -> Path:
    (found,) = (root / "usr/lib").glob("*/libc.so.6")
    return found


def test_a_program_in_a_root_directory(installation: Installation, root: Path) -> None:
    there = libc(root)
    (here,) = {Path(line.split()[-1]) for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line}
    assert file_build_id(there) != file_build_id(here)
    probes = installation.probes(SITE, "--root", str(root), "--program", "/bin/dd")
    (target,) = {group.target for group in read_unverified(probes).plan.groups}
    assert (target.path, target.seen_as) == (str(there), f"/{there.relative_to(root)}")
    shown = installation.command("datacrumbs_probe_configurator", "--show", probes, check=True).stdout
    assert f"{target.seen_as}, here {target.path}" in shown
    words = ["if=/dev/zero", "of=/tmp/out", "bs=1", "status=none"]
    trace = installation.trace(
        probes, ["chroot", root, "/usr/bin/dd", *words, "count=101"], ["dd", *words, "count=103"]
    )
    assert len(trace.named("write")) == 101
    assert {trace.file(call).rpartition("/")[2] for call in trace.named("write")} == {"out"}
    assert trace.provenance[f"seen as {target.seen_as}"] == target.path


def test_a_program_in_the_root_of_a_process(installation: Installation, root: Path, process: int) -> None:
    probes = installation.probes(SITE, "--program", f"/proc/{process}/root/usr/bin/dd")
    assert {group.target.path for group in read_unverified(probes).plan.groups} == {str(libc(root))}
    inside = ["nsenter", f"--target={process}", "--mount", "--root", "--", "/usr/bin/dd"]
    trace = installation.trace(probes, [*inside, "if=/dev/zero", "of=/tmp/out", "bs=1", "status=none", "count=107"])
    assert len(trace.named("write")) == 107


def test_what_is_not_in_there(installation: Installation, root: Path, tmp_path: Path) -> None:
    for options, said in {
        ("--root", str(root)): "--root: no program is given",
        ("--root", str(root), "--program", "no-such-program"): "no-such-program: cannot be read",
        ("--root", str(tmp_path / "absent"), "--program", "dd"): "No such file or directory",
    }.items():
        with pytest.raises(AssertionError, match=said):
            installation.probes(SITE, *options)
