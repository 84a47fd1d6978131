"""What root creates where others may write."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import struct
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.run_files import RunFiles, create_trace, files_of_past_runs, socket_path
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.secure import file_systems
from datacrumbs.trace.last_line import is_being_written

from ..probefile.served import served_file  # noqa: TID252 - a file system of the tests

_ME = Owner(os.getuid(), os.getgid(), "me")


def test_trace_is_private_and_new(tmp_path: Path) -> None:
    with create_trace(tmp_path, ("me", "day", "a.pfw.gz"), _ME) as stream:
        stream.write(b"x")
    path = tmp_path / "me/day/a.pfw.gz"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(DatacrumbsError, match="never overwritten"):
        create_trace(tmp_path, ("me", "day", "a.pfw.gz"), _ME)
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("kind", "options", "locks"),
    [
        (b"nfs", b"rw,vers=3,local_lock=none,addr=10.0.0.1", 0),
        (b"nfs", b"rw,vers=3,nolock,local_lock=all,addr=10.0.0.1", 2),
        (b"nfs4", b"rw,vers=4.2,local_lock=none,addr=10.0.0.1", 2),
    ],
)
def test_no_lock_is_asked_of_a_daemon_that_may_not_answer(tmp_path: Path, monkeypatch, kind, options, locks) -> None:
    """Before version 4 of NFS, a lock is a question to a daemon of its own on the server, often behind a firewall."""
    mounts = [replace(mount, kind=kind, options=options) for mount in file_systems.read_mounts()]
    monkeypatch.setattr(file_systems, "read_mounts", lambda: mounts)
    asked = []
    monkeypatch.setattr(fcntl, "flock", lambda *call: asked.append(call))
    create_trace(tmp_path, ("a.pfw.gz",), _ME).close()
    assert not is_being_written(tmp_path / "a.pfw.gz")
    assert len(asked) == locks


def test_link_for_the_trace_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(DatacrumbsError, match="symbolic link") as caught:
        create_trace(tmp_path / "link", ("a.pfw.gz",), _ME)
    assert caught.value.exit_code is ExitCode.REFUSED


def test_link_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "me").symlink_to("elsewhere")
    with pytest.raises(DatacrumbsError, match="is a link") as caught:
        create_trace(tmp_path, ("me", "a.pfw.gz"), _ME)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert not list((tmp_path / "elsewhere").iterdir())


def test_link_for_the_trace(tmp_path: Path) -> None:
    (tmp_path / "a.pfw.gz").symlink_to("/etc/passwd")
    with pytest.raises(DatacrumbsError):
        create_trace(tmp_path, ("a.pfw.gz",), _ME)


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounts")
@pytest.mark.parametrize("part", ["me", "me/day"])
def test_a_file_system_of_the_users_on_the_way(tmp_path: Path, part: str) -> None:
    """Its program could let root wait for ever, with probes on; it is not asked anything."""
    asked: list[int] = []
    place = tmp_path / part
    place.mkdir(parents=True)
    with served_file(place, b"", 1000, asked=asked):
        asked.clear()
        with pytest.raises(DatacrumbsError, match="FUSE file system of a user") as caught:
            create_trace(tmp_path, ("me", "day", "a.pfw.gz"), Owner(1000, 1000, "me"))
        assert caught.value.exit_code is ExitCode.REFUSED
        assert asked == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives directories away")
@pytest.mark.parametrize(("other", "content", "refused"), [(1001, [], False), (0, ["x"], True)])
def test_what_another_run_did_with_a_new_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: int, content: list[str], *, refused: bool
) -> None:
    """It is another user's where that one's run was quicker; what root has put something into is not given away."""
    make = os.mkdir

    def made(name: str, mode: int, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        for each in content:
            (tmp_path / name / each).touch()
        os.chown(tmp_path / name, other, other)

    monkeypatch.setattr(os, "mkdir", made)
    with pytest.raises(DatacrumbsError, match="was made there") if refused else nullcontext():
        create_trace(tmp_path, ("shared", "a.pfw.gz"), Owner(1000, 1000, "me")).close()
    owners = [path.stat().st_uid for path in (tmp_path / "shared", *tmp_path.glob("shared/a*"))]
    assert owners == ([0] if refused else [1001, 1000])


@pytest.mark.skipif(os.geteuid() != 0, reason="gives directories away")
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777, 0o500])
def test_an_empty_directory_of_roots_stays_roots(tmp_path: Path, mode: int) -> None:
    """A mount point, say; what a run of somebody's has made a moment ago is told from it by its mode."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here").chmod(mode)
    create_trace(tmp_path, ("here", "mine", "a.pfw.gz"), Owner(1000, 1000, "me")).close()
    owners = [path.stat().st_uid for path in (tmp_path / "here", tmp_path / "here/mine", *tmp_path.glob("here/*/*"))]
    assert owners == [0, 1000, 1000]
    assert stat.S_IMODE((tmp_path / "here").stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="gives directories away")
@pytest.mark.parametrize("above", [0o755, 0o2755])
def test_a_directory_of_a_run_that_was_killed_is_given_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, above: int
) -> None:
    tmp_path.chmod(above)

    class KilledError(Exception):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(os, "fchown", killed)
        patched.setattr(os, "fchmod", killed)
        with pytest.raises(KilledError):
            create_trace(tmp_path, ("mine", "a.pfw.gz"), Owner(1000, 1000, "me"))
    create_trace(tmp_path, ("mine", "a.pfw.gz"), Owner(1000, 1000, "me")).close()
    state = (tmp_path / "mine").stat()
    assert (state.st_uid, stat.S_IMODE(state.st_mode)) == (1000, 0o700)


def test_missing_trace_directory(tmp_path: Path) -> None:
    with pytest.raises(DatacrumbsError, match="cannot open the trace directory") as caught:
        create_trace(tmp_path / "missing", ("a.pfw.gz",), _ME)
    assert caught.value.hint


def test_ready_file_is_roots_and_the_users_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user could otherwise write into it, where root reads, and fill the system's memory with it."""
    lists = []
    monkeypatch.setattr(os, "setxattr", lambda _, name, value: lists.append((name, value)))
    files = RunFiles(tmp_path, "7")
    files.announce(tmp_path / "trace", Owner(4711, 4711, "alice"))
    status = files.ready.stat()
    files.close()
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
    assert stat.S_IMODE(status.st_mode) == 0o400
    ((name, value),) = lists
    assert name == "system.posix_acl_access"
    entries = dict.fromkeys(((1, 0xFFFFFFFF), (2, 4711), (16, 0xFFFFFFFF)), 4)
    entries |= dict.fromkeys(((4, 0xFFFFFFFF), (32, 0xFFFFFFFF)), 0)
    assert {(tag, number): rights for tag, rights, number in struct.iter_unpack("<HHI", value[4:])} == entries


def test_the_socket_is_roots_and_the_users_to_connect_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = []
    monkeypatch.setattr(os, "setxattr", lambda _path, _name, value: lists.append(value))
    files = RunFiles(tmp_path, "7")
    with files.listen(Owner(4711, 4711, "alice")) as listener, socket.socket(socket.AF_UNIX) as connection:
        path = socket_path(tmp_path, "7")
        assert path.is_socket()
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (os.geteuid(), 0o600)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["datacrumbs-7.lock", path.name]
        assert "7.sock" not in listener.getsockname()  # which every user can read
        connection.connect(str(path))
        assert listener.accept()[0].close() is None
    (value,) = lists
    entries = dict.fromkeys(((1, 0xFFFFFFFF), (2, 4711), (16, 0xFFFFFFFF)), 6)
    entries |= dict.fromkeys(((4, 0xFFFFFFFF), (32, 0xFFFFFFFF)), 0)
    assert {(tag, number): rights for tag, rights, number in struct.iter_unpack("<HHI", value[4:])} == entries
    files.close()
    assert not list(tmp_path.iterdir())


def test_a_socket_that_an_ended_run_left_is_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        files = RunFiles(tmp_path, "7")
        files.listen(_ME).close()
        os.close(files._lock)  # as if it had been killed
    assert [path.name for path in files_of_past_runs(tmp_path)] == ["datacrumbs-7.lock", "datacrumbs-7.sock"]


def test_where_no_socket_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    files = RunFiles(tmp_path, "7")
    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(DatacrumbsError, match=r"7\.sock: cannot be made"):
        files.listen(_ME)
    files.close()
    assert not list(tmp_path.iterdir())


def test_where_there_are_no_access_lists_root_alone_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    files = RunFiles(tmp_path, "7")
    files.announce(tmp_path / "trace", Owner(4711, 4711, "alice"))
    assert (files.ready.stat().st_uid, stat.S_IMODE(files.ready.stat().st_mode)) == (os.geteuid(), 0o400)
    files.close()


def test_one_daemon_for_a_run_id(tmp_path: Path) -> None:
    first = RunFiles(tmp_path, "7")
    with pytest.raises(DatacrumbsError, match="already running"):
        RunFiles(tmp_path, "7")
    second = RunFiles(tmp_path, "8")
    first.announce(tmp_path / "trace", _ME)
    announced = {"pid": os.getpid(), "trace": str(tmp_path / "trace"), "user": "me"}
    assert json.loads(first.ready.read_text()) == announced
    first.close()
    second.close()
    assert not list(tmp_path.iterdir())
    RunFiles(tmp_path, "7").close()


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free space where the traces go"),
        (errno.EDQUOT, "free space where the traces go"),
        (errno.EROFS, "run datacrumbs_setup and systemctl daemon-reload"),
        (errno.EACCES, "see who may write there"),
    ],
)
def test_why_no_trace_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(DatacrumbsError, match=os.strerror(number)) as caught:
        create_trace(tmp_path, ("me", "a.pfw.gz"), _ME)
    assert hint in caught.value.hint
