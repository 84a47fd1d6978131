"""Work in a process of its own as the user who called, so that nothing is read or run with root's rights."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import DatacrumbsError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.session.invoker import Invoker

_READ = 1 << 18


class Worker:
    """A process that does one thing and answers with what JSON carries.

    It is in a session of its own: the terminal's signals are for the command alone.

    Args:
        user: As whom.
        work: What to do; a `DatacrumbsError` of it is raised by `result`.
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
            DatacrumbsError: The work's, or one that says that the process ended without an answer.
        """
        try:
            answer = json.loads(b"".join(self._parts))
        except ValueError:
            raise DatacrumbsError("a process of this command ended before its work was done") from None
        if "error" in answer:
            message, hint, code = answer["error"]
            raise DatacrumbsError(message, hint=hint, exit_code=ExitCode(code))
        return answer["result"]

    def close(self) -> None:
        """End it, with what it has started; idempotent."""
        if self._pid:
            with suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)
            with suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._read_end)
            self._pid = 0


def _be_the_worker(user: Invoker, work: Callable[[], Any], answer: int) -> None:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        user.become()
        os.environ.clear()
        os.environ.update(user.environment)
        _answer(answer, {"result": work()})
    except DatacrumbsError as error:
        _answer(answer, {"error": [error.message, error.hint, int(error.exit_code)]})
    except BaseException as error:  # noqa: BLE001 - nothing of the process that was forked may run on
        _answer(answer, {"error": [f"{type(error).__name__}: {error}", "", int(ExitCode.FAILED)]})
    finally:
        os._exit(0)


def _answer(descriptor: int, document: object) -> None:
    with suppress(OSError), os.fdopen(descriptor, "wb") as stream:
        stream.write(json.dumps(document).encode())
