"""Who is at the other end of a connection, as the kernel says."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

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
    """

    uid: int
    gid: int
    pid: int
    user: str
    groups: frozenset[str]
    group_ids: tuple[int, ...]


def caller_of(connection: socket.socket) -> Caller:
    """The peer of an AF_UNIX connection, by SO_PEERCRED."""
    size = PEER_CREDENTIALS.size
    pid, uid, gid = PEER_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    try:
        user = pwd.getpwuid(uid).pw_name
        group_ids = tuple(sorted(os.getgrouplist(user, gid)))
    except KeyError:
        user, group_ids = str(uid), (gid,)
    return Caller(uid, gid, pid, user, frozenset(_group_name(group) for group in group_ids), group_ids)


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
