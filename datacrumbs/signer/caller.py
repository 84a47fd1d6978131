"""Who is at the other end of a connection, as the kernel says."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass, replace

NO_ACCOUNT = -1
PEER_CREDENTIALS = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller. Nothing here was said by the caller.

    Args:
        uid: Effective user when it connected.
        gid: Effective group then.
        pid: Its process then; only for the log, since it can be reused.
        user: Account name, or the number when there is none.
        groups: Names of the account's groups.
        group_ids: Their numbers.
        has_account: Whether the account database knows it.
    """

    uid: int
    gid: int
    pid: int
    user: str
    groups: frozenset[str]
    group_ids: tuple[int, ...]
    has_account: bool = True

    @property
    def share(self) -> int:
        """Whose share of the service it uses: one user can have thousands of ids without an account (/etc/subuid)."""
        return self.uid if self.has_account else NO_ACCOUNT


def peer_of(connection: socket.socket) -> Caller:
    """The peer of an AF_UNIX connection, by SO_PEERCRED; nothing that only the account database knows."""
    size = PEER_CREDENTIALS.size
    pid, uid, gid = PEER_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return Caller(uid, gid, pid, str(uid), frozenset(), (gid,), has_account=False)


def with_account(peer: Caller) -> Caller:
    """The same caller by its account's name, with its groups; the database may be a slow server."""
    try:
        user = pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        return replace(peer, groups=frozenset({_group_name(peer.gid)}))
    groups = tuple(sorted(os.getgrouplist(user, peer.gid)))
    names = frozenset(_group_name(group) for group in groups)
    return replace(peer, user=user, groups=names, group_ids=groups, has_account=True)


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
