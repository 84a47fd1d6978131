"""Whose command is recorded."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.session.invoker import given_environment, installation_of, invoker, owner_of

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_under_sudo_it_is_who_called() -> None:
    given = {
        "SUDO_UID": str(NOBODY.pw_uid),
        "SUDO_GID": "7",
        "SUDO_USER": "x",
        "SUDO_COMMAND": "y",
        "HOME": "/root",
        "A": "b",
    }
    found = invoker(given)
    assert (found.uid, found.gid, found.name) == (NOBODY.pw_uid, 7, "nobody")
    assert 7 in found.groups
    expected = {"A": "b", "HOME": NOBODY.pw_dir, "USER": "nobody", "LOGNAME": "nobody", "SHELL": NOBODY.pw_shell}
    assert found.environment == expected


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("uid", ["0", "", None])
def test_root_stays_root(uid: str | None) -> None:
    found = invoker({} if uid is None else {"SUDO_UID": uid})
    assert found.uid == 0


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    "given", [{"SUDO_UID": "-1"}, {"SUDO_UID": "x"}, {"SUDO_UID": "4294967295"}, {"SUDO_UID": "3999999999"}]
)
def test_what_names_no_user_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(DatacrumbsError, match="SUDO_UID"):
        invoker(given)


def test_an_ordinary_user_is_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    found = invoker({"SUDO_UID": "0"})
    assert (found.uid, found.name, found.environment) == (4711, "4711", {"SUDO_UID": "0"})


def test_the_environment_is_that_of_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATACRUMBS_ADDED_LATER", "1")
    assert "DATACRUMBS_ADDED_LATER" not in given_environment()
    assert given_environment()["PATH"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
def test_the_installation_of_another_user_is_one_that_root_alone_can_change(tmp_path: Path) -> None:
    """A rule of sudo for this command would otherwise be one for everything, with a policy of the user's own."""
    other = invoker({"SUDO_UID": str(NOBODY.pw_uid)})
    closed, own = tmp_path / "closed", tmp_path / "own"
    for place in (closed, own):
        place.mkdir()
    os.chown(own, NOBODY.pw_uid, NOBODY.pw_gid)
    (own / "below").mkdir()
    (own / "link").symlink_to(closed)
    (tmp_path / "roots").symlink_to(closed)
    (tmp_path / "users").symlink_to(closed)
    os.lchown(tmp_path / "users", NOBODY.pw_uid, NOBODY.pw_gid)
    assert installation_of(Path("/"), other) == Path("/")
    assert installation_of(closed, other) == closed.resolve()
    assert installation_of(tmp_path / "roots", other) == closed.resolve()
    # The words are the same whatever is behind the first part that is not root's.
    for place in (own / "link", own / "below", own / "missing"):
        with pytest.raises(DatacrumbsError) as caught:
            installation_of(place, other)
        assert caught.value.message.endswith(f"can change {own}")
    for place in (own, tmp_path / "users", closed / "missing"):
        with pytest.raises(DatacrumbsError, match="--prefix") as caught:
            installation_of(place, other)
        assert caught.value.exit_code is ExitCode.REFUSED
    root = invoker({})
    assert installation_of(own / "below", root) == own / "below"


@pytest.mark.parametrize("name", ["\rUid: 0", "\x0cGid: 0", "\x85Uid: 7"])
def test_a_process_is_called_as_it_likes(name: str) -> None:
    """By a name that looks like a line of its status."""
    program = f"open('/proc/self/comm', 'w', newline='').write({name!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        found = owner_of(process.pid)
        process.communicate(b"\n")
    assert (found.uid, found.gid) == (os.getuid(), os.getgid())
