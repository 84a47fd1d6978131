"""Files that a user names, opened with that user's rights: root must not reveal what is where the user may not look.

Where a home directory is closed to root, as on a network file system, these are also the only rights that help.
"""

from __future__ import annotations

import os
import pwd
import resource
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.secure.account_database import has_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOBODY = 65534
"""Writes for root: what a trace is made of is never worth root's privileges."""
LOOKING_ID = 65522
"""systemd and distributions leave it unused (UIDS-GIDS of systemd)."""
SUBORDINATE_IDS = Path("/etc/subuid")


@contextmanager
def rights_of(uid: int, gid: int, groups: Sequence[int]) -> Iterator[None]:
    """Be this user to whatever is opened meanwhile; only root has to.

    Only effective ids change, of all threads; the real ones stay root's, so the user cannot trace or stop this process.
    """
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    own_group, own_groups = os.getegid(), os.getgroups()
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_group)
        os.setgroups(own_groups)


@contextmanager
def rights_of_account(uid: int | None) -> Iterator[None]:
    """The same, with the groups of the user's account; None changes nothing."""
    if uid is None:
        yield
        return
    gid, groups = groups_of(uid)
    with rights_of(uid, gid, groups):
        yield


def groups_of(uid: int) -> tuple[int, list[int]]:
    """Group and all groups of a user's account; one of the user's own where there is no account."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return uid, [uid]
    return entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


@cache
def looking_id() -> int:
    """User and group id of processes that look at what users made or sent.

    One that no other process has, which could stop them or take from their limits. On a host where somebody has it, or
    whose account database does not say so in time, it is nobody's: of those, no user has any. The account database is
    asked once; what is forked knows the answer.
    """
    return LOOKING_ID if is_unused(LOOKING_ID) else NOBODY


def is_unused(identity: int) -> bool:
    """Whether an id is no account's, no group's and, as a subordinate id, no user's.

    Where the account database does not answer, it may be somebody's.
    """
    if any(first <= identity < end for first, end, _ in subordinate_ranges()):
        return False
    return has_name(identity) is False


def subordinate_ranges() -> Iterator[tuple[int, int, str]]:
    """The ranges of subuid(5): the first id, the one behind the last, and whose they are."""
    with suppress(OSError):
        for line in SUBORDINATE_IDS.read_text(errors="replace").splitlines():
            with suppress(ValueError):  # a line that newuidmap does not take either
                owner, start, count = line.split(":")
                yield int(start), int(start) + int(count), owner


def become_user(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Go on as this user, for good; only root can."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def give_up_root() -> None:
    """Go on without rights, for good, and without a way to write files or to start processes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if os.geteuid() == 0:
        identity = looking_id()
        become_user(identity, identity, [])
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
