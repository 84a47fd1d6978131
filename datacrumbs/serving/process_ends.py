"""The ends of processes, waited for without a thread."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.serving.limited import Child


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
