"""Work in a child process within limits: what it takes up or breaks ends with it.

The child is a fork, so that it starts in milliseconds and sees what its parent has read. Its parent must have one
thread only, and must not hold what the child may not see.
"""

from __future__ import annotations

import gc
import math
import os
import re
import resource
import select
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.secure.killed import wait_for_killed
from datacrumbs.secure.privilege import close_others, leave_terminal
from datacrumbs.secure.user_rights import looking_id, rights_of

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = resource.getpagesize()
OUR_SIGNALS = (signal.SIGTERM, signal.SIGINT)
NICENESS = -10
"""Of a service and its children at first: what a user's own processes may take is the kernel's to share out, but who
asks seldom is not to wait for them at each step between service and children. The units have it as `Nice=`."""
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
        factor = min(max(slowness(), 1.0), LONGEST_FACTOR)
        return replace(self, clock_seconds=self.clock_seconds * factor)


CHECK = Bounds(memory=416 << 20, processor_seconds=30, clock_seconds=90)
"""What checks a plan."""
LONGEST_FACTOR = 4.0
"""By which the time on the clock grows at most, so that a request cannot take the service's time for long."""
_LOAD, _PRESSURE = Path("/proc/loadavg"), Path("/proc/pressure/cpu")
_WAITING = re.compile(r"some avg10=(\d+\.\d+)")
QUICK_SECONDS = 0.1
"""Processor time after which a request's child waits for processors as other processes do; most take a tenth of it."""
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
    if used > QUICK_SECONDS:
        be_ordinary()
    # This process has to be there still to kill it: it may have been stopped.
    clock = signal.getitimer(signal.ITIMER_REAL)[0] - 2 * _GRACE_SECONDS
    return Bounds(whole.memory, processor, max(clock, 0.001))


@dataclass(frozen=True, slots=True)
class Child:
    """A running child.

    Args:
        pid: Its process.
        channel: Where its answer is read, to the end; the caller closes it.
    """

    pid: int
    channel: socket.socket

    def kill(self) -> None:
        """Kill it if it still runs; `wait` has to follow."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except PermissionError:  # it has given up root
            with rights_of(looking_id(), looking_id(), []):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; gives its wait status."""
        return os.waitpid(self.pid, 0)[1]

    def has_ended(self) -> bool:
        """Whether it has ended, in which case it is waited for."""
        return os.waitpid(self.pid, os.WNOHANG)[0] == self.pid


def start(work: Callable[[socket.socket], bytes], bounds: Bounds | None, keep: tuple[int, ...] = ()) -> Child:
    """Run ``work`` in a child; its answer arrives at `Child.channel`.

    Args:
        work: What to do, with the child's end of the channel; an exception ends the child with status 1.
        bounds: Its limits, as they are to hold: see `Bounds.stretched`; None for work that sets them itself, by
            `limit`, before it takes up what others made.
        keep: Descriptors that it needs; all others are closed, and the standard streams are empty.

    Raises:
        OSError: When no process or socket can be made.
    """
    looking_id()  # not by each child for itself
    here, there = socket.socketpair()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)  # their handlers are the parent's
    try:
        pid = os.fork()
        if pid == 0:
            _run(work, bounds, there, keep)
    except OSError:
        here.close()
        raise
    finally:
        there.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return Child(pid, here)


def answer(work: Callable[[], bytes], bounds: Bounds, most: int, keep: tuple[int, ...] = ()) -> bytes:
    """The answer of a child, waited for.

    Args:
        work: What to do.
        bounds: As for `start`.
        most: Bytes of the answer that are taken.
        keep: As for `start`.

    Raises:
        LimitError: When the child ended in another way than with its answer.
        UndecidedError: When that was for the time on the clock.
        OSError: When no process or socket can be made.
    """
    return answered(start(lambda _: work(), bounds, keep), bounds, most)


def answered(child: Child, bounds: Bounds, most: int) -> bytes:
    """The answer of a child that works, waited for; arguments and errors as of `answer`."""
    try:
        # The child's own alarm comes first, but for one that was stopped.
        data = _read(child.channel, most, time.monotonic() + bounds.clock_seconds + _GRACE_SECONDS)
    finally:
        child.channel.close()
    if data is None:
        child.kill()
        wait_for_killed(child.pid)
        raise UndecidedError
    check_end(child.wait())
    return data


def _read(channel: socket.socket, most: int, deadline: float) -> bytes | None:
    data = b""
    with suppress(ConnectionResetError):  # the end of one that has not read all of its order
        while len(data) < most:
            if not select.select([channel], [], [], max(deadline - time.monotonic(), 0))[0]:
                return None
            part = channel.recv(most - len(data))
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


# How much longer work takes than on a host that is not busy: by what wants to run at this moment, which may be an odd
# one, and by the share of the last ten seconds in which something waited for a processor. The load of the last minute
# counts who waits for a file system or a child as well: whose processes do would make the time longer, for nothing.
def slowness() -> float:
    try:
        running = float(_LOAD.read_text(encoding="ascii").split()[3].partition("/")[0]) / (os.cpu_count() or 1)
    except FileNotFoundError:  # in a unit that shows only processes below /proc (ProcSubset=pid)
        return LONGEST_FACTOR
    with suppress(OSError):  # of a kernel that does not measure it
        if share := _WAITING.match(_PRESSURE.read_text(encoding="ascii")):
            return max(running, 1 / max(1 - float(share[1]) / 100, 1 / LONGEST_FACTOR))
    return running


# Never returns: what calls it belongs to the parent.
def _run(
    work: Callable[[socket.socket], bytes], bounds: Bounds | None, channel: socket.socket, keep: tuple[int, ...]
) -> None:
    status = 1
    try:
        gc.freeze()  # a collection would copy what is shared with the parent
        for number in OUR_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # it is the parent that stops; it waits for this answer, or kills
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OUR_SIGNALS)
        kept = {channel.fileno(), *keep}
        close_others(kept)
        leave_terminal(*({0, 1, 2} - kept))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(EASY_VICTIM)
        if bounds is not None:
            limit(bounds)
        channel.sendall(work(channel))
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
    if is_first():
        signal.signal(signal.SIGPROF, lambda *_: be_ordinary())
        signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 - takes no keyword
        signal.setitimer(signal.ITIMER_PROF, QUICK_SECONDS)


def be_first() -> None:
    """Have processors before ordinary processes, with what is forked from now on, if this process may and is one."""
    with suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, 0) == 0:
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def be_ordinary() -> None:
    """Wait for processors as ordinary processes do, with what is forked from now on."""
    with suppress(OSError):  # an administrator's drop-in may filter this call
        if is_first():
            os.setpriority(os.PRIO_PROCESS, 0, 0)


def is_first() -> bool:
    """Whether this process has processors before ordinary ones."""
    return os.getpriority(os.PRIO_PROCESS, 0) < 0
