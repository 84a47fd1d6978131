"""What a job's epilog does: end the run that the prolog has left a note of.

The probe file, the user and the node's clock are not asked: all may be gone or wrong by now.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from datacrumbs.jobs.job_notes import JobNotes
from datacrumbs.jobs.prolog import interrupt
from datacrumbs.system import read_system_configuration

if TYPE_CHECKING:
    from datacrumbs.system import SystemPaths

_LOOK_SECONDS = 0.01


def end_run(note: str, paths: SystemPaths, seconds: float | None = None) -> bool:
    """End a job's run, and wait until its trace is complete.

    Args:
        note: What the prolog's notes of the job are called.
        paths: The installation.
        seconds: How long to wait; None for what the configuration says of epilogs.

    Returns:
        Whether it is; else it will be without anybody waiting for it.
    """
    notes = JobNotes(paths, note)
    run = notes.run
    complete = True
    if run is not None:
        deadline = time.monotonic() + (read_system_configuration(paths).epilog_seconds if seconds is None else seconds)
        interrupt(run, paths, deadline)
        complete = _is_over(run.run, paths, deadline)
    notes.remove()
    return complete


# The daemon removes its lock when all is written.
def _is_over(run: str, paths: SystemPaths, deadline: float) -> bool:
    lock = paths.run / f"datacrumbs-{run}.lock"
    while lock.exists():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
