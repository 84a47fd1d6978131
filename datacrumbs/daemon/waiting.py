"""Waiting for signals and for descriptors at once."""

from __future__ import annotations

import ctypes
import os
import select
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIBC = ctypes.CDLL(None, use_errno=True)
_SIGNAL_SET = 128  # bytes of glibc's sigset_t


class SignalWait:
    """Blocked signals, to be taken one by one.

    Args:
        signals: Which; they must be blocked.
    """

    def __init__(self, signals: frozenset[signal.Signals]) -> None:
        self._signals = signals
        mask = sum(1 << number - 1 for number in signals).to_bytes(_SIGNAL_SET, "little")
        self._descriptor = _LIBC.signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def wait(self, seconds: float, wakers: Iterable[int] = (), full: Iterable[int] = ()) -> int:
        """The next signal, or 0 when none came in this time.

        Or before one of ``wakers`` became readable, or one of ``full`` had room.
        """
        taken = self.take(seconds, wakers, full)
        return taken.si_signo if taken else 0

    def take(
        self, seconds: float, wakers: Iterable[int] = (), full: Iterable[int] = ()
    ) -> signal.struct_siginfo | None:
        """The same with all that the kernel says of the signal: who sent it."""
        poll = select.poll()
        for descriptor in (self._descriptor, *wakers):
            poll.register(descriptor, select.POLLIN)
        for descriptor in full:
            poll.register(descriptor, select.POLLOUT)
        poll.poll(None if seconds == float("inf") else seconds * 1000)
        return signal.sigtimedwait(self._signals, 0)

    def close(self) -> None:
        """Wait no more."""
        os.close(self._descriptor)
