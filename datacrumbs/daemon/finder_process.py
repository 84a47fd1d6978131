"""The process that looks at mapped files, as the process that traces sees it. What comes from there is not trusted."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.daemon.channel import Gone
from datacrumbs.daemon.child_process import ChildProcess
from datacrumbs.daemon.messages import FROM_FINDER, TO_FINDER, Look, Looked, LookToTheEnd
from datacrumbs.secure import privilege
from datacrumbs.secure.user_rights import groups_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from datacrumbs.daemon.channel import Channel, Received
    from datacrumbs.daemon.identity import Owner
    from datacrumbs.model.plan import Plan

_ANSWER_LIMIT = 1 << 16
_AT_ONCE = 16
_LAST_SECONDS = 10.0  # of silence: where others keep the processors busy, it may get none for seconds
_LISTENING_SECONDS = 20.0  # with the work on what it says; less than the run has to end


class FinderProcess(ChildProcess):
    """The process that looks.

    Args:
        user: As whom it runs.
        plan: What is to be found.
        command_lines: Whether it reads those of running processes that are taken.
    """

    def __init__(self, user: Owner, plan: Plan, *, command_lines: bool) -> None:
        prepare = lambda: _prepared(user, plan, command_lines)  # noqa: E731
        super().__init__(TO_FINDER, FROM_FINDER, prepare, _ANSWER_LIMIT, takes_descriptors=True)
        self.is_gone = False
        """Whether it ended, or says what it should not."""

    def begin(self, ring: int, known: Collection[tuple[int, int]]) -> None:
        """Have it look at what comes through a ring; not at ``known`` files (device, inode)."""
        with suppress(Gone):
            self.channel.send(Look(sorted(known)), descriptors=[ring])

    def messages(self) -> Iterator[Received]:
        """What it has said, at most so much that other work is not kept waiting."""
        for _ in range(_AT_ONCE):
            try:
                received = None if self.is_gone else self.channel.receive()
            except Gone:
                self.is_gone = True
                return
            if received is None:
                return
            yield received

    def last_messages(self) -> Iterator[Received]:
        """What it says until it has looked at everything; it is gone if it is silent, or goes on, for too long."""
        with suppress(Gone):
            self.channel.send(LookToTheEnd())
        begin = time.monotonic()
        while not self.is_gone:
            passed = time.monotonic() - begin
            try:
                received = self.channel.receive(max(0.0, _LAST_SECONDS - passed))
            except Gone:
                received = None
            if received is None or passed >= _LISTENING_SECONDS:
                self.is_gone = True
            elif isinstance(received.message, Looked):
                return
            else:
                yield received


def _prepared(user: Owner, plan: Plan, command_lines: bool) -> Callable[[Channel], None]:
    from datacrumbs.daemon.finding import find_files  # noqa: PLC0415 - meanwhile the other process loads its programs

    _, groups = groups_of(user.uid)
    kept = privilege.TO_FIND_FILES if user.uid else privilege.TO_FIND_FILES_OF_ROOT
    privilege.become(user.uid, user.gid, groups, kept)
    return lambda channel: find_files(channel, plan, command_lines=command_lines)
