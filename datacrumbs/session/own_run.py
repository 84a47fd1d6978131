"""A run beside one command, in a process of its own: the existing daemon's, which takes only marks that name this run.

`session.served_run.ServedRecording` is the same for a caller without rights, whose run a service starts.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import DatacrumbsError, unforeseen
from datacrumbs.output import Verbosity, begin_messages, verbosity
from datacrumbs.secure import privilege
from datacrumbs.session.worker import end_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.daemon.run_request import RunRequest
    from datacrumbs.system import SystemPaths

_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the calls."""

    entered: int
    recorded: int
    lost: int
    balanced: bool


class OwnRecording:
    """A run of root's in a child of this process, which begins at once.

    Args:
        paths: The installation, which need not be set up.
        run_id: By which the command's processes are marked.
        request: Gives what is traced, and how, in the child.
    """

    def __init__(self, paths: SystemPaths, run_id: str, request: Callable[[], RunRequest]) -> None:
        self._paths, self.run_id = paths, run_id
        self._said = os.memfd_create("datacrumbs-messages", os.MFD_CLOEXEC)
        self._channel, theirs = os.pipe2(os.O_CLOEXEC)
        self._text = b""
        self._news: dict[str, Any] = {}
        self._ended = False
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            _be_the_run(parent, theirs, self._said, request)
        os.close(theirs)

    def fileno(self) -> int:
        """Readable when there is something to `listen` to."""
        return self._channel

    def listen(self) -> None:
        """Take what it says."""
        part = os.read(self._channel, _READ)
        self._ended = not part
        *lines, self._text = (self._text + part).split(b"\n")
        for line in lines:
            self._news.update(json.loads(line))

    @property
    def ready(self) -> bool:
        """Whether programs are traced."""
        return "ready" in self._news

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._ended

    def stop(self) -> None:
        """Have it come to its end."""
        if self._pid and not self._ended:
            os.kill(self._pid, signal.SIGTERM)

    def outcome(self) -> Outcome:
        """What became of the calls.

        Raises:
            DatacrumbsError: The run failed.
        """
        if "failed" in self._news:
            raise DatacrumbsError.of_parts(*self._news["failed"])
        if "done" not in self._news:
            raise DatacrumbsError("the process that traces ended before the run did")
        return Outcome(*self._news["done"])

    def messages(self) -> str:
        """What it has to say to people."""
        size = os.fstat(self._said).st_size
        return os.pread(self._said, size, 0).decode("utf-8", "replace")

    def discard(self) -> None:
        """End it at once."""
        if not self._pid:
            return
        end_session(self._pid)
        self._pid = 0
        os.close(self._channel)
        if self._news.keys().isdisjoint(("done", "failed")):
            from datacrumbs.daemon.unit import clean_up  # noqa: PLC0415 - other runs clean up themselves

            clean_up(self._paths.run, self.run_id, {})


# Where the command's terminal is, only the command is to be seen until it ends; so what is said is kept.
def _be_the_run(parent: int, channel: int, said: int, request: Callable[[], RunRequest]) -> None:
    def say(**news: object) -> None:
        os.write(channel, json.dumps(news).encode() + b"\n")

    try:
        privilege.leave_terminal(0, 1)
        os.dup2(said, 2)
        sys.stderr = sys.__stderr__
        begin_messages("datacrumbs", verbosity() if verbosity() == Verbosity.VERBOSE else Verbosity.QUIET)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # It outlives a parent that is killed, for as long as its trace takes to be complete.
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        privilege.end_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            return
        from datacrumbs.daemon.run import run  # noqa: PLC0415 - the engine, once something is traced

        result = run(request(), lambda: say(ready=True))
        say(done=[result.entered, result.recorded, result.lost, result.balanced])
    except DatacrumbsError as error:
        say(failed=error.parts())
    except BaseException as error:  # noqa: BLE001 - nothing of the process that was forked may run on
        say(failed=unforeseen(error).parts())
    finally:
        os._exit(0)
