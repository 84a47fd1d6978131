"""Who is at the other end of a connection, as the kernel says."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, replace

from datacrumbs.secure import user_rights
from datacrumbs.secure.user_rights import subordinate_ranges

NO_ACCOUNT = -1
"""The share of all ids that neither have an account nor belong to one."""
_CREDENTIALS = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller. Nothing here was said by the caller.

    Args:
        uid: Effective user when it connected.
        gid: Effective group then.
        pid: Its process then; only for the log, since it can be reused.
        user: Account name, or the number when there is none.
        groups: Names of the account's groups; none without an account.
        group_ids: Their numbers, and its effective group.
        has_account: Whether the account database knows it.
        host: Address of the other host where it asks; empty for this one.
    """

    uid: int
    gid: int
    pid: int
    user: str
    groups: frozenset[str]
    group_ids: tuple[int, ...]
    has_account: bool = True
    host: str = ""

    def is_among(self, users: tuple[str, ...], groups: tuple[str, ...]) -> bool:
        """Whether a rule for these users and groups is for this caller; ``*`` is every account."""
        if not self.has_account:  # each user has thousands of such ids in /etc/subuid, so a rule must name the number
            return str(self.uid) in users
        named = not {"*", self.user, str(self.uid)}.isdisjoint(users)
        return named or "*" in groups or not self.groups.isdisjoint(groups)


def credentials_of(connection: socket.socket) -> tuple[int, int, int]:
    """Process, effective user and group of who made an AF_UNIX connection, by SO_PEERCRED."""
    pid, uid, gid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid, gid


def caller_of(pid: int, uid: int, gid: int, host: str = "") -> Caller:
    """The caller of whom this is known, and nothing from the account database."""
    return Caller(uid, gid, pid, str(uid), frozenset(), (gid,), has_account=False, host=host)


def with_account(peer: Caller) -> Caller:
    """The same caller by its account's name, with its groups; the database may be a slow server."""
    try:
        entry = pwd.getpwuid(peer.uid)
    except KeyError:
        return peer
    # The account's own group counts whichever group the process has taken (newgrp). That one, which can be any number
    # of /etc/subgid, gives access to files as the kernel says, but no rule of the policy.
    listed = set(os.getgrouplist(entry.pw_name, entry.pw_gid))
    names = frozenset(_group_name(group) for group in listed)
    return replace(
        peer, user=entry.pw_name, groups=names, group_ids=tuple(sorted({*listed, peer.gid})), has_account=True
    )


def share_of(uid: int) -> int:
    """Whose share of the service an id uses: an account's subordinate ids (subuid(5)) are the account's.

    One user can have 65,536 of them, and can be any of them by newuidmap.
    """
    try:
        pwd.getpwuid(uid)
    except KeyError:
        owner = _owner_of(uid)
        return NO_ACCOUNT if owner is None else owner
    return uid


def _owner_of(uid: int) -> int | None:
    for start, end, owner in subordinate_ranges():
        if start <= uid < end:
            with suppress(KeyError):
                return int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
    return None


class SubordinateIds:
    """Whose range of /etc/subuid an id is in, by the name that is there: asks no account database, so it can be asked
    before anything else is known of a caller. The file is read when it has changed.
    """

    def __init__(self) -> None:
        self._state: tuple[int, int, int] | None = None
        self._ranges: list[tuple[int, int, str]] = []

    def owner(self, uid: int) -> str | None:
        """The name; of ranges that overlap, the one that begins last."""
        try:
            status = user_rights.SUBORDINATE_IDS.stat()
        except OSError:
            return None
        state = (status.st_ino, status.st_mtime_ns, status.st_size)
        if state != self._state:
            self._state, self._ranges = state, sorted(subordinate_ranges())
        place = bisect_right(self._ranges, uid, key=lambda entry: entry[0])
        _, end, owner = self._ranges[place - 1] if place else (0, 0, "")
        return owner if uid < end else None


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
