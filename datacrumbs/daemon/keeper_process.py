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
from datacrumbs.secure import privilege

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.daemon.channel import Channel


class KeeperProcess(ChildProcess):
    """The process that keeps files of a run; `close` has it remove them.

    Args:
        names: The files that it removes.
        directory: Descriptor of the directory in which they are.
        lock: Descriptor of the lock, which is held for as long as the process is there.

    Raises:
        DatacrumbsError: It ended at once.
    """

    patience_seconds = 10.0

    def __init__(self, names: Sequence[str], directory: int, lock: int) -> None:
        super().__init__(TO_KEEPER, (), _prepared, 0, more_calls=("unlinkat",))
        try:
            self.send(Keep(names), [directory, lock])
        except BaseException:
            self.close()
            raise


# It stays root's, whose the directory is, and needs no capability for that.
def _prepared() -> Callable[[Channel], None]:
    privilege.become(0, 0)
    return _keep


def _keep(channel: Channel) -> None:
    try:
        begin = channel.wait()
    except Gone:
        return
    directory, _lock = begin.descriptors
    with suppress(Gone):
        channel.wait()  # nothing more is said
    for name in begin.message.names:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
