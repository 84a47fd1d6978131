"""The command itself: started, its signals passed on, stopped and continued with it, ended as it ends.

It has the process group of the one that records it, so the terminal's signals reach it by themselves. Those that were
sent to the one that records are passed on.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.privilege import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datacrumbs.daemon.waiting import SignalWait
    from datacrumbs.session.invoker import Invoker
    from datacrumbs.session.served_run import Recording

# Those that come from an instruction of this process itself, and those that cannot be blocked.
_OWN = {
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS,
    signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ,
}  # fmt: skip
SIGNALS = frozenset(signal.valid_signals() - _OWN)
"""What is taken one by one."""
ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_STOPPING = sum(1 << number - 1 for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
_SETS = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn")
_FROM_KERNEL = 1  # si_code of what a process sent is 0 or less
_CANNOT_BEGIN = 125
_LOOK_SECONDS = 0.05


class Foreground:
    """A command that runs.

    Args:
        file: What to execute.
        words: Its arguments, from the 0th on.
        user: As whom.
        mask: The signals that are blocked in it.
    """

    def __init__(self, file: Path, words: Sequence[str], user: Invoker, mask: set[int]) -> None:
        self.status: int | None = None
        problem, theirs = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if not self.pid:
            _be_the_command(file, words, user, mask, theirs)
        os.close(theirs)
        with os.fdopen(problem, "rb") as stream:
            why = stream.read().decode(errors="replace")
        if why:
            os.waitpid(self.pid, 0)
            raise DatacrumbsError(f"the command cannot be started: {why}")

    def wait(self, signals: SignalWait, recording: Recording | None = None) -> int:
        """Wait for its end; gives its wait status.

        Args:
            signals: Of `SIGNALS`.
            recording: Is listened to meanwhile.
        """
        while self.status is None:
            wakers = [recording.fileno()] if recording is not None and not recording.ended else []
            taken = signals.take(float("inf"), wakers)
            if taken is None:
                if recording is not None:
                    recording.listen()
            elif taken.si_signo == signal.SIGCHLD:
                self._look()
            elif (
                taken.si_code < _FROM_KERNEL
                and taken.si_signo != signal.SIGCONT
                and not _is_below(taken.si_pid, self.pid)
            ):
                self._pass_on(taken.si_signo)
        return self.status

    # A shell sees this process: it stops when the command does.
    def _look(self) -> None:
        status = self._change()
        while status is not None:
            is_stopped = os.WIFSTOPPED(status)
            if is_stopped:
                with _continued_with(self.pid):
                    stop_as(os.WSTOPSIG(status))
            elif not os.WIFCONTINUED(status):
                self.status = status
                return
            status = self._change()
            # Who continued this process alone meant the command; a shell continues the whole group. A command that has
            # been stopped again since then is another matter.
            if is_stopped and status is None:
                self._pass_on(signal.SIGCONT)

    # What has happened to the command since the last time.
    def _change(self) -> int | None:
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        return status if pid else None

    def _pass_on(self, number: int) -> None:
        with suppress(OSError):
            os.kill(self.pid, number)


def stop_as(number: int) -> None:
    """Stop until this process is continued, by the signal that stopped the command."""
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})  # stops here
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


# What continues a command may mean it alone, such as a process of its own or a debugger. This process has to go on
# then, too, and while it is stopped only another one can see that. That one has to look: of what is stopped and
# continued the kernel tells parents alone, neither a pidfd nor inotify. A terminal may have stopped both, and only this
# process have had a processor since.
@contextmanager
def _continued_with(command: int) -> Iterator[None]:
    watcher = os.fork()
    if not watcher:
        _watch(command, os.getppid())
    try:
        yield
    finally:
        os.kill(watcher, signal.SIGKILL)
        os.waitpid(watcher, 0)


def _watch(command: int, recorder: int) -> None:
    try:
        end_with_parent(signal.SIGKILL)
        while os.getppid() == recorder:
            if _is_stopped(recorder) and not is_stopping(command):
                os.kill(recorder, signal.SIGCONT)
            time.sleep(_LOOK_SECONDS)
    finally:
        os._exit(0)


def _is_stopped(pid: int) -> bool:
    return _status_of(pid)[:1] == [b"T"]


def is_stopping(pid: int) -> bool:
    """Whether a process is stopped, or will be as soon as it has a processor."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    waiting, shared, blocked, ignored = (int(status[name], 16) for name in _SETS)
    return status["State"].startswith("T") or bool((waiting | shared) & ~blocked & ~ignored & _STOPPING)


def _status_of(pid: int) -> list[bytes]:
    """Its state, its parent and what follows in proc(5)'s ``stat``; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


# What the command, or a process that it has started, sent to its whole group has reached the command, too.
def _is_below(pid: int, ancestor: int) -> bool:
    while pid > 1 and pid != ancestor:
        status = _status_of(pid)
        pid = int(status[1]) if status else 0
    return pid == ancestor


def _be_the_command(file: Path, words: Sequence[str], user: Invoker, mask: set[int], problem: int) -> None:
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
            signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        user.become()
        try:
            os.execve(file, list(words), dict(user.environment))  # noqa: S606 - no shell is meant
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # A script without a first line for its interpreter, as execvp(3) has it.
            os.execve("/bin/sh", ["sh", str(file), *words[1:]], dict(user.environment))  # noqa: S606 - likewise
    except BaseException as error:  # noqa: BLE001 - nothing of the process that was forked may run on
        os.write(problem, str(error).encode(errors="replace"))
    finally:
        os._exit(_CANNOT_BEGIN)


def end_as(status: int) -> int:
    """End as a command with this wait status did: gives its exit status, or dies of its signal."""
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the core that matters is the command's
    with suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    return 128 + number  # the first process of a container does not die of signals
