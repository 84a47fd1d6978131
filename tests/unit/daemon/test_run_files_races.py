"""Races that a user can run against root, on every path of the user's that root touches.

The user's side is a process of another account that swaps what stands under a name, as fast as it can.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.run_files import create_trace, remove_trace
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.files import read_bounded, replacing, write_atomically, write_over

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = Owner(65534, 65534, "nobody")
SECONDS = 2.0
ROUNDS = 300

# Exchanges two names for ever (renameat2, RENAME_EXCHANGE), so that at every moment one of both stands there.
SWAP = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
os.chdir(sys.argv[1])
first, second = os.fsencode(sys.argv[2]), os.fsencode(sys.argv[3])
print("ready", flush=True)
while True:
    libc.renameat2(-100, first, -100, second, 2)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root's side of the race needs root")


@pytest.fixture
def users(shared_directory: Path) -> Path:
    """A directory of the user's that root can enter, as `create_trace` makes them."""
    directory = shared_directory / f"race-{os.urandom(4).hex()}"
    directory.mkdir(mode=0o755)
    os.chown(directory, NOBODY.uid, NOBODY.gid)
    return directory


@pytest.fixture
def victim(shared_directory: Path) -> Path:
    """What the user wants root to write into, or to give away."""
    directory = shared_directory / f"victim-{os.urandom(4).hex()}"
    directory.mkdir(mode=0o755)
    (directory / "secret").write_text("root's")
    return directory


def give(path: Path) -> Path:
    os.chown(path, NOBODY.uid, NOBODY.gid, follow_symlinks=False)
    return path


@contextmanager
def swapping(directory: Path, first: str, second: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", SWAP, directory, first, second],
        user=NOBODY.uid,
        group=NOBODY.gid,
        extra_groups=[],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def rounds() -> Iterator[int]:
    end = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < end or number < ROUNDS:
        yield number
        number += 1


def a_directory_and_a_link(users: Path, victim: Path) -> None:
    (users / "day").mkdir()
    (users / "link").symlink_to(victim)
    give(users / "day")
    give(users / "link")


def test_a_directory_that_becomes_a_link_to_roots_own(users: Path, victim: Path) -> None:
    a_directory_and_a_link(users, victim)
    outcomes = set()
    with swapping(users, "day", "link"):
        for number in rounds():
            try:
                create_trace(users, ("day", f"{number}.pfw.gz"), NOBODY).close()
                outcomes.add("made")
            except DatacrumbsError:
                outcomes.add("refused")
    assert [path.name for path in victim.iterdir()] == ["secret"]
    assert outcomes == {"made", "refused"}  # else there was no race


def test_a_trace_is_not_removed_through_a_link(users: Path, victim: Path) -> None:
    a_directory_and_a_link(users, victim)
    with swapping(users, "day", "link"):
        for _ in rounds():
            remove_trace(users, ("day", "secret"))
    assert (victim / "secret").read_text() == "root's"


def test_another_directory_of_roots_is_not_given_away(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = users / "roots"
    roots.mkdir(mode=0o700)
    (roots / "secret").write_text("root's")
    make = os.mkdir

    # The worst moment, each time: what root has made is exchanged before root opens it.
    def make_and_lose(name: str, mode: int, *, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        (users / "day").rename(users / "made")
        roots.rename(users / "day")

    monkeypatch.setattr(os, "mkdir", make_and_lose)
    with pytest.raises(DatacrumbsError, match="not the directory"):
        create_trace(users, ("day", "a.pfw.gz"), NOBODY)
    assert (users / "day").stat().st_uid == 0
    assert [path.name for path in (users / "day").iterdir()] == ["secret"]


def test_a_run_that_made_a_directory_and_was_held_up_before_it_gave_it_away(
    users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    # Another run of the user's finds it meanwhile, however long that takes.
    def make_and_be_held_up(name: str, mode: int, *, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        monkeypatch.setattr(os, "mkdir", make)
        create_trace(users, ("day", "other.pfw.gz"), NOBODY).close()

    monkeypatch.setattr(os, "mkdir", make_and_be_held_up)
    create_trace(users, ("day", "a.pfw.gz"), NOBODY).close()
    assert {path.name for path in (users / "day").iterdir()} == {"a.pfw.gz", "other.pfw.gz"}
    assert (users / "day").stat().st_uid == NOBODY.uid


@pytest.mark.parametrize("link", ["symlink", "hardlink"])
def test_a_trace_is_never_written_into_what_is_there(users: Path, victim: Path, link: str) -> None:
    place = users / "a.pfw.gz"
    place.symlink_to(victim / "secret") if link == "symlink" else place.hardlink_to(victim / "secret")
    with pytest.raises(DatacrumbsError, match="exists already"):
        create_trace(users, ("a.pfw.gz",), NOBODY)
    assert (victim / "secret").read_text() == "root's"
    assert (victim / "secret").stat().st_uid == 0


def test_a_file_that_becomes_a_link_to_roots_own_is_not_read(users: Path, victim: Path) -> None:
    (users / "file").write_text("user's")
    (users / "link").symlink_to(victim / "secret")
    give(users / "file")
    give(users / "link")
    seen = set()
    with swapping(users, "file", "link"):
        for _ in rounds():
            with suppress(DatacrumbsError):
                seen.add(read_bounded(users / "file", 100))
    assert seen == {b"user's"}


def test_a_written_file_does_not_go_through_a_link(users: Path, victim: Path) -> None:
    (users / "file").write_text("user's")
    (users / "link").symlink_to(victim / "secret")
    give(users / "file")
    give(users / "link")
    with swapping(users, "file", "link"):
        for _ in rounds():
            with suppress(DatacrumbsError):
                write_atomically(users / "file", b"new")
    assert (victim / "secret").read_text() == "root's"


def test_an_output_does_not_go_through_a_link_of_somebody_else(users: Path, victim: Path) -> None:
    """Who expects the name of what root will write there could have it be any file, or a disk."""
    output = users / "run.html"
    output.symlink_to(victim / "secret")
    give(output)
    write_over(output, b"page")
    assert (victim / "secret").read_text() == "root's"
    assert (output.is_symlink(), output.read_bytes()) == (False, b"page")
    output.unlink()
    output.symlink_to("/dev/zero")
    give(output)
    with pytest.raises(DatacrumbsError, match="not a regular file; nothing was written"):
        write_over(output, b"page")
    (victim / "link").symlink_to("own")
    (victim / "own").symlink_to(users / "between")
    (users / "between").symlink_to(victim / "secret")
    give(users / "between")
    write_over(victim / "link", b"page")  # by way of one's own as far as there are such
    assert (victim / "secret").read_text() == "root's"
    assert (users / "between").read_bytes() == b"page"


def test_an_output_is_no_pipe_of_somebody_else(users: Path, tmp_path: Path) -> None:
    """Who made it reads what is written, or has the writer wait for a reader without end."""
    pipes = users / "run.html", tmp_path / "own"
    for pipe in pipes:
        os.mkfifo(pipe)
    give(pipes[0])
    with ExitStack() as stack:
        readers = [os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) for pipe in pipes]
        for reader in readers:
            stack.callback(os.close, reader)
        with pytest.raises(DatacrumbsError, match="another user's pipe; nothing was written"):
            write_over(pipes[0], b"page")
        write_over(pipes[1], b"page")
        assert [os.read(reader, 100) for reader in readers] == [b"", b"page"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_output_may_be_what_is_open(tmp_path: Path, name: str) -> None:
    code = (
        f"from pathlib import Path; from datacrumbs.secure.files import write_over; write_over(Path({name!r}), b'page')"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b"page"
    with (tmp_path / "file").open("wb") as stream:
        subprocess.run(command, stdout=stream, check=True)
    assert (tmp_path / "file").read_bytes() == b"page"


def test_an_output_by_ones_own_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    for content in (b"one", b"two"):
        write_over(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "file").read_bytes() == content
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DatacrumbsError, match="symbolic links"):
        write_over(tmp_path / "loop", b"page")


def test_a_directory_exchanged_while_a_file_is_written(users: Path, victim: Path) -> None:
    """A file takes its name in the directory in which it was made."""
    place = users / "place"
    place.mkdir()
    (users / "link").symlink_to(victim)
    with replacing(place / "secret") as stream:
        stream.write(b"user's")
        place.rename(users / "moved")
        (users / "link").rename(place)
    assert (victim / "secret").read_text() == "root's"
    assert (users / "moved/secret").read_bytes() == b"user's"


@pytest.mark.parametrize("owner", [NOBODY, Owner(0, 0, "root")], ids=lambda owner: owner.name)
def test_runs_that_make_the_same_directories_at_once(shared_directory: Path, owner: Owner) -> None:
    top = shared_directory / f"traces-{os.urandom(4).hex()}"
    top.mkdir(mode=0o755)
    runs = 8
    barrier = multiprocessing.get_context("fork").Barrier(runs)

    def run(number: int) -> None:
        for day in range(ROUNDS):
            barrier.wait(300)
            create_trace(top, (f"user{day}", "today", f"{number}.pfw.gz"), owner).close()

    processes = [multiprocessing.get_context("fork").Process(target=run, args=(number,)) for number in range(runs)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * runs
    assert {path.stat().st_uid for path in top.rglob("*")} == {owner.uid}
    assert len(list(top.rglob("*.pfw.gz"))) == runs * ROUNDS
