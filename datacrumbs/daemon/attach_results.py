"""What could not be attached on this host, kept so that it is not tried again at each start.

Only failures that last are kept: one caused by a lack of memory would leave the function out of all later runs.
A failure counts only for the same file content (build-id) of the same owner on the same kernel. A build-id is what the
file says: with that of another file a user could otherwise have functions left out of the runs of others.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Attach
from datacrumbs.trace.unattached import Unattached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from datacrumbs.engine.attach import AttachFailure
    from datacrumbs.model.plan import Plan, Target

# The kernel refuses another semaphore than that with which a run at the same time probes the same place.
_OF_ANOTHER_RUN = (str(Attach.USDT), errno.EINVAL)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS lasting_failures (
    owner INTEGER, build_id TEXT, kernel TEXT, attach TEXT, symbol TEXT, offset INTEGER, reason TEXT,
    PRIMARY KEY (owner, build_id, kernel, attach, symbol, offset)
)
"""


KEPT_OF_AN_OWNER = 1 << 16
"""The latest failures in files of one user that are remembered."""


class AttachResults:
    """The host's attach results.

    Args:
        path: The SQLite file; made when missing.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kernel = os.uname().release

    def known_failures(self, plan: Plan, owners: Mapping[Target, int]) -> dict[int, str]:
        """Those of the plan's functions, by identity, that failed before, with nothing changed since, and why.

        Args:
            plan: The plan.
            owners: User ids of the owners of its files.
        """
        files = {(owners.get(group.target, 0), group.target.build_id) for group in plan.groups}
        failed: dict[tuple[int, str, str, str, int], str] = {}
        with self._database() as database:
            for owner, build_id in files:
                failed.update(
                    (tuple(key), reason)
                    for *key, reason in database.execute(
                        "SELECT owner, build_id, attach, symbol, offset, reason FROM lasting_failures "
                        "WHERE owner = ? AND build_id = ? AND kernel = ?",
                        (owner, build_id, self._kernel),
                    )
                )
        return {identity: failed[key] for identity, key in _keys(plan, owners) if key in failed} if failed else {}

    def record(self, plan: Plan, owners: Mapping[Target, int], failures: Sequence[AttachFailure]) -> None:
        """Keep those failures of a run that last."""
        lasting = lasting_failures(plan, failures)
        if not lasting:
            return
        with self._database() as database:
            for identity, (owner, build_id, attach, symbol, offset) in _keys(plan, owners):
                failure = lasting.get(identity)
                if failure:
                    database.execute(
                        "INSERT OR REPLACE INTO lasting_failures VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (owner, build_id, self._kernel, attach, symbol, offset, failure.reason),
                    )
            # The owner of a file can make it fail under any number of build-ids.
            for owner in {owners.get(group.target, 0) for group in plan.groups}:
                database.execute(
                    "DELETE FROM lasting_failures WHERE owner = ? AND rowid NOT IN "
                    "(SELECT rowid FROM lasting_failures WHERE owner = ? ORDER BY rowid DESC LIMIT ?)",
                    (owner, owner, KEPT_OF_AN_OWNER),
                )

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=10)) as database, database:
                database.execute(_SCHEMA)
                yield database
        except (OSError, sqlite3.Error) as error:
            raise DatacrumbsError(
                f"{self._path}: cannot keep attach results: {error}",
                hint=f"free space in {self._path.parent}, or remove the file if it is damaged; it will be recreated",
            ) from None


def lasting_failures(plan: Plan, failures: Sequence[AttachFailure]) -> dict[int, AttachFailure]:
    """By function, those of a run's failures that the next run on this kernel would have, too."""
    lasting = {failure.function: failure for failure in failures if failure.lasts}
    ways = [str(group.attach) for group in plan.groups for _ in group.functions] if lasting else []
    return {
        identity: failure
        for identity, failure in lasting.items()
        if (ways[identity], failure.number) != _OF_ANOTHER_RUN
    }


def unattached(plan: Plan, failed: Mapping[int, str]) -> dict[Unattached, str]:
    """What a trace says of functions that could not be probed; ``failed`` has the reasons by function."""
    places = [(group, function) for group in plan.groups for function in group.functions] if failed else []
    found = {}
    for identity, reason in failed.items():
        group, function = places[identity]
        found[Unattached(group.target.build_id, str(group.attach), function.symbol, function.place)] = reason
    return found


def _keys(plan: Plan, owners: Mapping[Target, int]) -> Iterator[tuple[int, tuple[int, str, str, str, int]]]:
    identity = 0
    for group in plan.groups:
        owner = owners.get(group.target, 0)
        for function in group.functions:
            yield identity, (owner, group.target.build_id, str(group.attach), function.symbol, function.place)
            identity += 1
