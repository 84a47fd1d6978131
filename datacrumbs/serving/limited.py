"""Work in a child process within limits: what it takes up or breaks ends with it.

The child is a fork, so that it starts in milliseconds and sees what its parent has read. Its parent must have one
thread only, and must not hold what the child may not see.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.secure.privilege import close_others
from datacrumbs.secure.user_rights import NOBODY, rights_of

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = resource.getpagesize()
OUR_SIGNALS = (signal.SIGTERM, signal.SIGINT)
EASY_VICTIM = "500"  # proc(5), oom_score_adj: before the service when memory runs out


class LimitError(Exception):
    """The child ended without an answer: a limit ended it, or a mistake."""


class UndecidedError(LimitError):
    """Its time on the clock was over, which says nothing about its work: other processes may have taken that time."""


UNDECIDED = "this host is very busy, or a file system does not answer; no fault was found"
UNDECIDED_HINT = "try again when the host is less busy"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a child may take.

    Args:
        memory: Bytes of address space beyond what it inherits.
        processor_seconds: Processor time of itself, and together with its children if they take what is `remaining`.
        clock_seconds: Time on the clock, on a host that is not busy (`stretched`).
    """

    memory: int
    processor_seconds: float
    clock_seconds: float

    def stretched(self) -> Bounds:
        """With more time on the clock if more processes want to run at the moment than the host has processors for.

        Work is bounded by processor time; the clock is there for what waits without end. How long work takes on the
        clock depends on the other processes.
        """
        factor = min(max(_runnable() / (os.cpu_count() or 1), 1.0), LONGEST_FACTOR)
        return replace(self, clock_seconds=self.clock_seconds * factor)


CHECK = Bounds(memory=416 << 20, processor_seconds=30, clock_seconds=90)
"""What checks a plan."""
LONGEST_FACTOR = 4.0
"""By which the time on the clock grows at most, so that a request cannot take the service's time for long."""
_LOAD = Path("/proc/loadavg")
_GRACE_SECONDS = 1.0
"""How much later than a child's own alarm its parent kills it."""
_own: Bounds | None = None  # of this process, where it is such a child
_used_before = 0.0  # processor time of this process, by which its bounds do not count


def remaining(whole: Bounds) -> Bounds:
    """What is left of this process's bounds for a child that it waits for, so that all of them together keep to them.

    Args:
        whole: The memory of the child, and its time where this process has no bounds.

    Raises:
        LimitError: When there is no processor time left.
    """
    if _own is None:
        return whole
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = time.process_time() - _used_before + children.ru_utime + children.ru_stime
    processor = _own.processor_seconds - used
    if processor <= 0:
        raise LimitError
    # This process has to be there still to kill it: it may have been stopped.
    clock = signal.getitimer(signal.ITIMER_REAL)[0] - 2 * _GRACE_SECONDS
    return Bounds(whole.memory, processor, max(clock, 0.001))


@dataclass(frozen=True, slots=True)
class Child:
    """A running child.

    Args:
        pid: Its process.
        answer: Descriptor from which its answer is read, to the end; the caller closes it.
    """

    pid: int
    answer: int

    def kill(self) -> None:
        """Kill it if it still runs; `wait` has to follow."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except PermissionError:  # it has given up root
            with rights_of(NOBODY, NOBODY, []):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; gives its wait status."""
        return os.waitpid(self.pid, 0)[1]

    def has_ended(self) -> bool:
        """Whether it has ended, in which case it is waited for."""
        return os.waitpid(self.pid, os.WNOHANG)[0] == self.pid


def start(work: Callable[[], bytes], bounds: Bounds | None, keep: tuple[int, ...] = ()) -> Child:
    """Run ``work`` in a child; its answer arrives at `Child.answer`.

    Args:
        work: What to do; an exception ends the child with status 1.
        bounds: Its limits, as they are to hold: see `Bounds.stretched`; None for work that sets them itself, by
            `limit`, before it takes up what others made.
        keep: Descriptors that it needs; all others are closed, but the standard streams.

    Raises:
        OSError: When no process or pipe can be made.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)  # their handlers are the parent's
    try:
        pid = os.fork()
        if pid == 0:
            _run(work, bounds, writer, keep)
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return Child(pid, reader)


def answer(work: Callable[[], bytes], bounds: Bounds, most: int, keep: tuple[int, ...] = ()) -> bytes:
    """The answer of a child, waited for.

    Args:
        work: As for `start`.
        bounds: As for `start`.
        most: Bytes of the answer that are taken.
        keep: As for `start`.

    Raises:
        LimitError: When the child ended in another way than with its answer.
        UndecidedError: When that was for the time on the clock.
        OSError: When no process or pipe can be made.
    """
    return answered(start(work, bounds, keep), bounds, most)


def answered(child: Child, bounds: Bounds, most: int) -> bytes:
    """The answer of a child that works, waited for; arguments and errors as of `answer`."""
    try:
        # The child's own alarm comes first, but for one that was stopped.
        data = _read(child.answer, most, time.monotonic() + bounds.clock_seconds + _GRACE_SECONDS)
    finally:
        os.close(child.answer)
    if data is None:
        child.kill()
        child.wait()
        raise UndecidedError
    check_end(child.wait())
    return data


def _read(descriptor: int, most: int, deadline: float) -> bytes | None:
    data = b""
    while len(data) < most:
        if not select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))[0]:
            return None
        part = os.read(descriptor, most - len(data))
        if not part:
            break
        data += part
    return data


def check_end(status: int) -> None:
    """Check that a child ended with its answer.

    Args:
        status: What `Child.wait` gave.

    Raises:
        LimitError: It did not.
        UndecidedError: It did not, for the time on the clock.
    """
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        raise UndecidedError
    if status:
        raise LimitError


# How many threads want to run: at this moment, which may be an odd one, and in the last minute. A unit that sees
# nothing but processes below /proc (ProcSubset=pid) does not know it, and gives the longest time.
def _runnable() -> float:
    try:
        minute, _, _, now, *_ = _LOAD.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return math.inf
    return max(float(minute), float(now.partition("/")[0]))


# Never returns: what calls it belongs to the parent.
def _run(work: Callable[[], bytes], bounds: Bounds | None, writer: int, keep: tuple[int, ...]) -> None:
    status = 1
    try:
        gc.freeze()  # a collection would copy what is shared with the parent
        for number in OUR_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # it is the parent that stops; it waits for this answer, or kills
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OUR_SIGNALS)
        close_others({writer, *keep})
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(EASY_VICTIM)
        if bounds is not None:
            limit(bounds)
        data = work()
        with os.fdopen(writer, "wb") as stream:
            stream.write(data)
        status = 0
    except BaseException:  # noqa: BLE001, S110 - whatever it is ends here; the parent sees the status
        pass
    finally:
        os._exit(status)


def limit(bounds: Bounds) -> None:
    """Set the limits of a child, in the child, once; they count from here."""
    global _own, _used_before
    _own, _used_before = bounds, time.process_time()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(bounds.clock_seconds, 0.001))  # a fork has none
    inherited = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    # Soft: a child of its own may have other bounds, and inherits this one's memory.
    resource.setrlimit(resource.RLIMIT_AS, (inherited + bounds.memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
    seconds = math.ceil(_used_before + bounds.processor_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
