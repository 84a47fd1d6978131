"""What each user may use of the signing service at once, counted from the accept to the close."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.serving.limited import CHECK, Bounds
from datacrumbs.serving.protocol import REQUEST_LIMIT

if TYPE_CHECKING:
    from collections import Counter
    from contextlib import ExitStack

ROOT = 0
MIB = 1 << 20
KNOWN_LIMIT = 4096
KNOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What callers may use up, together and each. The unit's `MemoryMax` and `LimitNOFILE` are above their sums.

    Args:
        connections: Most connections at once.
        connections_per_user: Most of them from one user other than root; all ids without an account are one user, and
            an account's subordinate ids (`/etc/subuid`) are the account's.
        newcomers: Most of them from users who are being looked up.
        request_seconds: Time for a whole request to arrive.
        reply_seconds: Time for the reply to leave.
        wait_seconds: Time that a request waits for others of its user and for room among the checks.
        request_bytes: Largest request.
        memory: Bytes of all requests and replies that are held.
        memory_per_user: Those of one user.
        checks: How many requests are checked at once, each of another user: one more than two users can hold.
        check: What the child takes that checks a request.
    """

    connections: int = 256
    connections_per_user: int = 8
    newcomers: int = 64
    request_seconds: float = 10.0
    reply_seconds: float = 10.0
    wait_seconds: float = 60.0
    request_bytes: int = REQUEST_LIMIT
    memory: int = 128 * MIB
    memory_per_user: int = 48 * MIB
    checks: int = 3
    check: Bounds = CHECK


_Key = TypeVar("_Key")


def count(counter: Counter[_Key], key: _Key, until: ExitStack) -> None:
    """Count one more, until something is closed."""
    counter[key] += 1
    until.callback(_count_down, counter, key)


def _count_down(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


@dataclass(slots=True)
class Share:
    """What one user uses: connections, bytes, and whose turn it is of them to be checked and answered."""

    key: int
    connections: int = 0
    memory: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shares:
    """All shares, each for as long as it is used."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._shares: dict[int, Share] = {}
        self.connections = 0
        self.memory = 0

    def enter(self, key: int) -> Share | None:
        """Count a connection to a share; None when there is no room for it."""
        if self.is_full(key):
            return None
        share = self._shares.setdefault(key, Share(key))
        share.connections += 1
        self.connections += 1
        return share

    def is_full(self, key: int) -> bool:
        """Whether there is no room for a connection in a share."""
        share = self._shares.get(key)
        full = share is not None and share.connections >= self._limits.connections_per_user and key != ROOT
        return full or self.connections >= self._limits.connections

    def readmit(self, share: Share) -> None:
        """Count a connection to the share that it has just left, until it is closed."""
        share = self._shares.setdefault(share.key, share)
        share.connections += 1
        self.connections += 1

    def leave(self, share: Share) -> None:
        """A connection is closed."""
        share.connections -= 1
        self.connections -= 1
        if not share.connections:
            del self._shares[share.key]

    def take(self, share: Share, size: int) -> bool:
        """Count bytes to a share; whether there is room for them."""
        if share.memory + size > self._limits.memory_per_user and share.key != ROOT:
            return False
        if self.memory + size > self._limits.memory:
            return False
        share.memory += size
        self.memory += size
        return True

    def give_back(self, share: Share, size: int) -> None:
        """Bytes are no longer held."""
        share.memory -= size
        self.memory -= size


class KnownIds:
    """Whose share ids use, as far as that was looked up.

    What an account uses holds until it is looked up again, so that who asks seldom does not wait for it. Other ids are
    forgotten after a while: a user has thousands of them.
    """

    def __init__(self) -> None:
        self._accounts: dict[int, float] = {}
        self._others: dict[int, tuple[int, float]] = {}

    def share(self, uid: int) -> int | None:
        """The share that an id uses; None where it has to be looked up first."""
        if uid in self._accounts:
            return uid
        share, until = self._others.get(uid, (0, 0.0))
        return share if time.monotonic() < until else None

    def is_due(self, uid: int) -> bool:
        """Whether an account should be looked up again, which is said once for each time."""
        now = time.monotonic()
        due = self._accounts.get(uid, now + 1) <= now
        if due:
            self._accounts[uid] = now + KNOWN_SECONDS
        return due

    def remember(self, uid: int, share: int) -> None:
        """Take note of what was looked up."""
        self._accounts.pop(uid, None)
        until = time.monotonic() + KNOWN_SECONDS
        if share == uid:
            self._accounts[uid] = until
        else:
            self._others[uid] = share, until
        for known in (self._accounts, self._others):
            while len(known) > KNOWN_LIMIT:
                del known[next(iter(known))]
