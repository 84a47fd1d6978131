"""A job's run where no systemd is: a process of its own starts it, outlives the prolog, and cleans up behind it."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.secure.privilege import empty
from datacrumbs.serving.process_ends import process_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.runs.kept_run import KeptRun
    from datacrumbs.runs.launching import ChildLauncher

_GROUP_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_GROUP = "datacrumbs"


def supervise(launcher: ChildLauncher, run: KeptRun, keep: Callable[[KeptRun], None]) -> None:
    """Start a run; returns before it is ready.

    Args:
        launcher: How it becomes a process.
        run: The run.
        keep: Writes down its process, before that executes anything.
    """
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    # Not this process's child, which its caller waits for and ends with all its group.
    try:
        os.setsid()
        if not os.fork():
            _be_beside()
            asyncio.run(_to_its_end(launcher, run, keep))
    except BaseException:  # noqa: BLE001, S110 - whatever it is ends here
        pass
    finally:
        os._exit(0)


async def _to_its_end(launcher: ChildLauncher, run: KeptRun, keep: Callable[[KeptRun], None]) -> None:
    started = await launcher.start(run, keep)
    ended: list[int] = []
    await process_end(started.pid, lambda: ended.extend(os.waitpid(started.pid, 0)))
    await launcher.clean_up(started, ended_well=not any(ended[1:]))


# What is in the group of the scheduler's daemon ends with it, where a site has that, and counts as its memory.
def _be_beside() -> None:
    empty(0, 1, 2)
    os.chdir("/")
    for mount in _GROUP_MOUNTS:
        with suppress(OSError):
            if (mount / "cgroup.controllers").exists():
                (mount / _GROUP).mkdir(exist_ok=True)
                (mount / _GROUP / "cgroup.procs").write_text(str(os.getpid()))
                return
