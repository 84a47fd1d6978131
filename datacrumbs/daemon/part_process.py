"""The process that makes the further files of a run, as its user: the process that traces may not by then.

It has no capability where the directory is the user's, as it is by default. In another one it is let in by
CAP_DAC_OVERRIDE; what it makes is the user's all the same.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from datacrumbs.daemon.channel import Gone
from datacrumbs.daemon.child_process import ChildProcess
from datacrumbs.daemon.messages import FROM_PART_PROCESS, TO_PART_PROCESS, Failed, MakePart, PartMade
from datacrumbs.daemon.run_files import NEW_FILE, hold
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure import privilege
from datacrumbs.secure.file_systems import problem_of_mapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.daemon.channel import Channel, Received
    from datacrumbs.daemon.identity import Owner

_ANSWER_LIMIT = 1 << 14
_ANSWER_SECONDS = 2.0
_MORE_CALLS = ("openat", "flock", "capget", "capset", "prctl")


class PartProcess(ChildProcess):
    """The process that makes files.

    Args:
        owner: As whom it runs.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        super().__init__(
            TO_PART_PROCESS,
            FROM_PART_PROCESS,
            lambda: _prepared(owner),
            _ANSWER_LIMIT,
            takes_descriptors=True,
            more_calls=_MORE_CALLS,
        )

    def make(self, name: str, directory: int) -> int:
        """The descriptor of a new file.

        Args:
            name: Of the file.
            directory: Descriptor of the directory in which it is made.

        Raises:
            DatacrumbsError: It could not be made, or not in time; from then on none is made.
        """
        try:
            answer = self._answer(MakePart(name), directory)
        except Gone:
            self.close()
            raise DatacrumbsError(f"{name}: the process that makes it ended, or took too long") from None
        if isinstance(answer.message, Failed) or len(answer.descriptors) != 1:
            for descriptor in answer.descriptors:
                os.close(descriptor)
            raise DatacrumbsError(getattr(answer.message, "message", "") or f"{name}: it was not made")
        return self._checked(name, *answer.descriptors)

    # Its user may have taken the process over, and have files of a namespace of their own.
    def _checked(self, name: str, descriptor: int) -> int:
        with suppress(OSError):
            if not problem_of_mapped(descriptor):
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode) and status.st_uid == self._owner.uid:
                    return descriptor
        os.close(descriptor)
        raise DatacrumbsError(f"{name}: what was made is no file of {self._owner.name}'s")

    def _answer(self, message: MakePart, directory: int) -> Received:
        deadline = time.monotonic() + _ANSWER_SECONDS
        self.channel.send(message, [directory])
        while (left := deadline - time.monotonic()) > 0:
            if received := self.channel.receive(left):
                return received
        raise Gone


def _prepared(owner: Owner) -> Callable[[Channel], None]:
    privilege.become(owner.uid, owner.gid, kept=privilege.TO_MAKE_FILES)
    return partial(_make_parts, owner)


def _make_parts(owner: Owner, channel: Channel) -> None:
    with suppress(Gone):
        while True:
            received = channel.wait()
            (directory,) = received.descriptors
            try:
                if os.fstat(directory).st_uid == owner.uid:
                    privilege.keep(())
                part = os.open(received.message.name, NEW_FILE, 0o600, dir_fd=directory)
            except OSError as error:
                channel.send(Failed(f"{received.message.name}: cannot be made: {error.strerror}", ""))
            else:
                hold(part)
                channel.send(PartMade(), [part])
                os.close(part)
            finally:
                os.close(directory)
