"""Paths in other root directories: what they lead to, never outside, and what programs in there call it."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.libraries import interpreter_of
from datacrumbs.elf.roots import Root, root_of
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 300


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A root as container images have it: links into /usr, absolute ones, ones that climb, and loops."""
    made = tmp_path / "root"
    (made / "usr/lib/deep").mkdir(parents=True)
    (made / "usr/lib/libx.so.1.2").touch()
    links = {
        "lib": "usr/lib",
        "usr/lib/libx.so.1": "libx.so.1.2",
        "usr/lib/absolute": "/usr/lib/libx.so.1",
        "usr/lib/deep/up": "../../../../../../../etc/passwd",
        "usr/lib/outside": "/etc/passwd",
        "loop": "loop",
        "usr/lib/dots": "./.././lib/libx.so.1",
    }
    for name, target in links.items():
        (made / name).symlink_to(target)
    return Root(made)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/usr/lib/libx.so.1.2", "usr/lib/libx.so.1.2"),
        ("/lib/libx.so.1", "usr/lib/libx.so.1.2"),
        ("/lib/absolute", "usr/lib/libx.so.1.2"),
        ("/lib/dots", "usr/lib/libx.so.1.2"),
        ("/../../lib/deep/../absolute", "usr/lib/libx.so.1.2"),
        ("/lib/deep/up", "etc/passwd"),
        ("/lib/outside", "etc/passwd"),
        ("/lib/absent/x", "usr/lib/absent/x"),
        ("/", ""),
    ],
)
def test_links_lead_nowhere_outside(root: Root, path: str, found: str) -> None:
    assert root.real(Path(path)) == root.directory / found
    assert root.seen(root.directory / found) == Path("/") / found


@pytest.mark.parametrize("last", ["/usr/lib/libx.so.1.2", "/../../../../../../../../etc/passwd", "chain0"])
@pytest.mark.parametrize("links", [40, 41, 200])
def test_more_links_than_the_kernel_follows_lead_nowhere(root: Root, last: str, links: int) -> None:
    """The one after them would be followed by the kernel, in this process's root directory."""
    names = [*(f"chain{number}" for number in range(links)), last]
    for name, target in itertools.pairwise(names):
        (root.directory / name).symlink_to(target)
    reached = root.real(Path("/chain0"))
    found = links == 40 and last == "/usr/lib/libx.so.1.2"
    assert reached.is_file() == found
    assert reached.exists() == found
    assert not reached.is_symlink()
    for path in ("/loop", "/loop/x", "/loop/../usr/lib/libx.so.1.2"):
        assert not root.real(Path(path)).exists()


def test_the_own_root_leaves_links_to_the_system() -> None:
    assert Root().real(Path("/lib/x/../y")) == Path("/lib/x/../y")
    assert Root().seen(Path("/usr/lib/x")) == Path("/usr/lib/x")


def test_what_a_user_names(root: Root, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root.directory)
    assert root_of("/usr/bin/app", str(tmp_path / "link")) == (root, "/usr/bin/app")
    assert root_of("app", "") == (Root(), "app")
    assert root_of("/proc/4711/exe", "") == (Root(), "/proc/4711/exe")
    for text, why in ((tmp_path / "absent", "No such file"), (root.directory / "usr/lib/libx.so.1.2", "not a direc")):
        with pytest.raises(DatacrumbsError, match=f"^{re.escape(str(text))}: {why}"):
            root_of("app", str(text))


def test_a_process_that_is_gone_is_no_wrong_directory() -> None:
    with pytest.raises(DatacrumbsError, match=r"^/proc/4194305/root: no such process$"):
        root_of("/proc/4194305/root/bin/ls", "")


def test_a_program_is_missing_in_its_root(root: Root) -> None:
    where = re.escape(f"/bin/nothing: cannot be read in the root directory {root.directory}: ")
    with pytest.raises(DatacrumbsError, match=where):
        interpreter_of(Path("/bin/nothing"), {}, root)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starts a process in a root that has the shell of this host: `process(*command)`; gives its id."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str | Path) -> int:
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    yield start
    for each in started:
        each.communicate(timeout=SECONDS)


WAIT = "echo $$; read -r line"
# Where the shell and its libraries are in a directory that is made.
FILLED = (
    "for d in usr lib lib64 bin; do [ -L /$d ] && cp -P /$d $0/ || { mkdir -p $0/$d; mount --bind /$d $0/$d; }; done"
)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = tmp_path / "filled"
    made.mkdir()
    return made


def test_the_root_of_a_process_that_changed_it(process: Callable[..., int], filled: Path) -> None:
    inside = ["unshare", "--mount", "sh", "-c", f'{FILLED} && exec chroot $0 /bin/sh -c "$1"', filled, WAIT]
    found = process(*inside)
    assert root_of(f"/proc/{found}/root/usr/bin/dd", "") == (Root(filled), "/usr/bin/dd")
    assert root_of("dd", f"/proc/{found}/root") == (Root(filled), "dd")


def test_the_root_of_a_process_that_sees_nothing_else(process: Callable[..., int], filled: Path) -> None:
    """As container runtimes do it: a mount of its own is made the root of all others."""
    pivot = f'mount --bind $0 $0 && {FILLED} && mkdir $0/old && cd $0 && pivot_root . old && exec /bin/sh -c "$1"'
    found = process("unshare", "--mount", "sh", "-c", pivot, filled, WAIT)
    assert Path(f"/proc/{found}/root").readlink() == Path("/")
    assert root_of("dd", f"/proc/{found}/root") == (Root(filled), "dd")


def test_the_root_of_a_process_on_a_file_system_of_its_own(process: Callable[..., int], filled: Path) -> None:
    pivot = f'mount -t tmpfs none $0 && {FILLED} && mkdir $0/old && cd $0 && pivot_root . old && exec /bin/sh -c "$1"'
    found = process("unshare", "--mount", "sh", "-c", pivot, filled, WAIT)
    with pytest.raises(DatacrumbsError, match="no path on this host leads to that process's root"):
        root_of("dd", f"/proc/{found}/root")


def test_the_own_root_of_a_process() -> None:
    assert root_of("dd", f"/proc/{os.getpid()}/root") == (Root(), "dd")
