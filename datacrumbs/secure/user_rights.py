"""Files that a user names, opened with that user's rights: root must not reveal what is where the user may not look.

Where a home directory is closed to root, as on a network file system, these are also the only rights that help.
"""

from __future__ import annotations

import os
import pwd
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOBODY = 65534


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


def give_up_root() -> None:
    """Go on as nobody, for good, without a way to write files or to start processes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
