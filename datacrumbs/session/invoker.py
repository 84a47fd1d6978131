"""Whose command is recorded: who called, also by way of sudo."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, refusal
from datacrumbs.secure.files import first_unprotected
from datacrumbs.secure.user_rights import become_user

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUDO = {"SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND", "SUDO_HOME", "SUDO_TTY"}
_NO_ID = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Invoker:
    """A user and what a program of this user begins with.

    Args:
        uid: User id.
        gid: Group id.
        groups: All groups.
        name: Account name, or the number.
        environment: The command's.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    environment: Mapping[str, str]

    @property
    def is_other(self) -> bool:
        """Whether this process has to become this user first."""
        return os.geteuid() == 0 and self.uid != 0

    def become(self) -> None:
        """Go on as this user, for good."""
        if self.is_other:
            become_user(self.uid, self.gid, self.groups)


def invoker(environment: Mapping[str, str]) -> Invoker:
    """The user who called: under sudo that one, else the user of this process.

    Args:
        environment: Of this process; sudo says in it whose command it runs.

    Raises:
        DatacrumbsError: What sudo says names no account.
    """
    uid = _number(environment, "SUDO_UID") if os.geteuid() == 0 else None
    if not uid:
        return Invoker(os.geteuid(), os.getegid(), tuple(os.getgroups()), _name(os.geteuid()), dict(environment))
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise DatacrumbsError(
            f"SUDO_UID={uid} is not a user of this host", hint="unset SUDO_UID to run the command as root"
        ) from None
    gid = _number(environment, "SUDO_GID")
    gid = entry.pw_gid if gid is None else gid
    own = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "SHELL": entry.pw_shell}
    # To the command it is as if there was no sudo.
    kept = {key: value for key, value in environment.items() if key not in _SUDO}
    given = {key: value for key, value in own.items() if value}
    return Invoker(uid, gid, tuple(os.getgrouplist(entry.pw_name, gid)), entry.pw_name, kept | given)


def installation_of(prefix: Path, user: Invoker) -> Path:
    """The prefix by which root acts: for another user, by a path that root alone can change.

    What a rule of sudo lets somebody do is done by the host's policy, and files are made where root wants them.

    Raises:
        DatacrumbsError: (exit 3) when others can change it.
    """
    if not user.is_other:
        return prefix.absolute()
    place = Path("/")
    for part in prefix.absolute().parts[1:]:
        place /= part
        try:
            # Only a link of root's is followed: one of a user's could lead to where the user may not look.
            changeable = place if place.lstat().st_uid else first_unprotected(place.resolve(), sticky=True)
        except OSError as error:
            raise refusal(f"--prefix {prefix}: {place}: {error.strerror}", "leave it out") from None
        if changeable is not None:
            raise refusal(
                f"--prefix {prefix}: users other than root can change {changeable}",
                "leave it out; for a tree of your own, unset SUDO_UID to run the command as root",
            )
        place = place.resolve()
    return place


def owner_of(process: int) -> Invoker:
    """The user of a process, by its real ids.

    Raises:
        DatacrumbsError: It has ended.
    """
    try:
        # Bytes: the process is called as it likes, by a name with any sign but this one that ends a line.
        lines = Path(f"/proc/{process}/status").read_bytes().split(b"\n")
    except OSError:
        raise DatacrumbsError(f"process {process} has ended") from None
    uid, gid = (int(line.split()[1]) for name in (b"Uid:", b"Gid:") for line in lines if line.startswith(name))
    groups = tuple(os.getgrouplist(_name(uid), gid)) if _is_account(uid) else (gid,)
    return Invoker(uid, gid, groups, _name(uid), {"PATH": os.defpath})


def given_environment() -> dict[str, str]:
    """This process's environment as it began: Python and libraries add to it, ``LC_CTYPE`` for one."""
    try:
        return environment_of("self")
    except OSError:
        return dict(os.environ)


def environment_of(process: int | str) -> dict[str, str]:
    """The environment with which a process began.

    Raises:
        OSError: It has ended, or is not open to this one.
    """
    entries = os.fsdecode(Path(f"/proc/{process}/environ").read_bytes()).split("\0")
    return {name: value for name, is_given, value in (entry.partition("=") for entry in entries) if name and is_given}


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) < _NO_ID):
        raise DatacrumbsError(f"{name}={text!r} is not an id", hint=f"unset {name} to run the command as root")
    return int(text)


def _is_account(uid: int) -> bool:
    return not _name(uid).isdecimal()


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
