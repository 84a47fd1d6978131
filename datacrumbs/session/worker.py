"""Work in a process of its own as the user who called, so that nothing is read or run with root's rights."""

from __future__ import annotations

import gc
import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import DatacrumbsError, unforeseen
from datacrumbs.secure.privilege import leave_terminal
from datacrumbs.session.programs import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.session.invoker import Invoker

_READ = 1 << 18


class Worker:
    """A process that does one thing and answers with what JSON carries.

    It is in a session of its own: the terminal's signals are for the command alone.

    Args:
        user: As whom.
        work: What to do; a `DatacrumbsError` or `CommandError` of it is raised by `result`.
    """

    def __init__(self, user: Invoker, work: Callable[[], Any]) -> None:
        self._read_end, write_end = os.pipe2(os.O_CLOEXEC)
        self._parts: list[bytes] = []
        self._pid = os.fork()
        if not self._pid:
            _be_the_worker(user, work, write_end)
        os.close(write_end)

    def fileno(self) -> int:
        """Readable when a part of the answer, or its end, is there."""
        return self._read_end

    def has_ended(self) -> bool:
        """Take what is there; gives whether that was all."""
        part = os.read(self._read_end, _READ)
        self._parts.append(part)
        return not part

    def result(self) -> Any:
        """The answer, when it has ended.

        Raises:
            CommandError: The work's.
            DatacrumbsError: The work's, or one that says that the process ended without an answer.
        """
        try:
            answer = json.loads(b"".join(self._parts))
        except ValueError:
            raise DatacrumbsError("a process of this command ended before its work was done") from None
        if "command" in answer:
            raise CommandError(*answer["command"])
        if "error" in answer:
            raise DatacrumbsError.of_parts(*answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End it, with what it has started; idempotent."""
        if self._pid:
            end_session(self._pid)
            os.close(self._read_end)
            self._pid = 0


def end_session(leader: int) -> None:
    """Kill a child that begins with a session of its own, and what it has started; waits for the child."""
    with suppress(OSError):
        os.killpg(leader, signal.SIGKILL)
    with suppress(OSError):  # it has no session yet
        os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)


def _be_the_worker(user: Invoker, work: Callable[[], Any], answer: int) -> None:
    try:
        leave_terminal(0, 1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        user.become()
        os.environ.clear()
        os.environ.update(user.environment)
        gc.disable()  # the process ends with its answer, and what it makes until then stays
        _answer(answer, {"result": work()})
    except CommandError as error:
        _answer(answer, {"command": [error.message, error.status]})
    except DatacrumbsError as error:
        _answer(answer, {"error": error.parts()})
    except BaseException as error:  # noqa: BLE001 - nothing of the process that was forked may run on
        _answer(answer, {"error": unforeseen(error).parts()})
    finally:
        os._exit(0)


def _answer(descriptor: int, document: object) -> None:
    with suppress(OSError), os.fdopen(descriptor, "wb") as stream:
        stream.write(json.dumps(document).encode())
