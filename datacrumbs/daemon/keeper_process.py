"""The process that keeps root's files of a run: it has the lock, and removes them when the run is over.

The process that traces is not root's while it does, so it could not. All that it says to this one is said before; from
then on this one waits for it to hang up, or to be gone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.daemon.channel import Gone
from datacrumbs.daemon.child_process import ChildProcess
from datacrumbs.daemon.messages import TO_KEEPER, Keep
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure import privilege

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.daemon.channel import Channel, Received

_FOREVER = 3600.0
_PATIENCE_SECONDS = 10.0


class KeeperProcess:
    """Begins the process, gives it what it keeps, ends it.

    Args:
        names: The files that it removes.
        directory: Descriptor of the directory in which they are.
        lock: Descriptor of the lock, which is held for as long as the process is there.

    Raises:
        DatacrumbsError: It ended at once.
    """

    def __init__(self, names: Sequence[str], directory: int, lock: int) -> None:
        self._process = ChildProcess(TO_KEEPER, (), _prepared, 0, more_calls=("unlinkat",))
        try:
            self._process.channel.send(Keep(names), [directory, lock])
        except Gone:
            self.close()
            raise DatacrumbsError("a process of this run ended before it began") from None

    def close(self) -> bool:
        """Have it remove the files and end, and wait for that; gives whether it has. Idempotent."""
        return self._process.close(_PATIENCE_SECONDS)


# It stays root's, whose the directory is, and needs no capability for that.
def _prepared() -> Callable[[Channel], None]:
    privilege.become(0, 0)
    return _keep


def _keep(channel: Channel) -> None:
    try:
        begin = _received(channel)
    except Gone:
        return
    directory, _lock = begin.descriptors
    with suppress(Gone):
        _received(channel)  # nothing more is said
    for name in begin.message.names:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)


def _received(channel: Channel) -> Received:
    while (received := channel.receive(_FOREVER)) is None:
        pass
    return received
