"""Ends of processes, and signals to this one, waited for without a thread."""

from __future__ import annotations

import asyncio
import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from datacrumbs.serving.limited import Child

_SIGNAL_SET_BYTES = 128  # sigset_t of glibc and musl


async def ended(child: Child) -> int:
    """Wait until a child has ended; gives its wait status."""
    statuses: list[int] = []
    await process_end(child.pid, lambda: statuses.append(child.wait()))
    return statuses[0]


async def process_end(pid: int, wait: Callable[[], object] = lambda: None) -> None:
    """Wait until a process has ended, a child or not.

    Args:
        pid: Its id.
        wait: Waits for a child; called as soon as that will not take time.
    """
    loop = asyncio.get_running_loop()
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    loop.add_reader(process, gone.set)
    try:
        await gone.wait()
        wait()
    finally:
        loop.remove_reader(process)
        os.close(process)


def signal_descriptor(numbers: Iterable[int]) -> int:
    """A descriptor that is readable when one of these signals, which the caller blocks, is pending (signalfd(2)).

    Raises:
        OSError: When the kernel gives none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    signals = ctypes.create_string_buffer(_SIGNAL_SET_BYTES)
    for number in numbers:
        libc.sigaddset(signals, int(number))
    descriptor: int = libc.signalfd(-1, signals, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor
