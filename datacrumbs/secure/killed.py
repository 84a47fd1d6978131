"""The end of a child that was killed, which comes late where it waits for a file system that does not answer."""

from __future__ import annotations

import os
import select

END_SECONDS = 5.0


def wait_for_killed(pid: int) -> None:
    """Wait for the end of a killed child; one that has not come to it within `END_SECONDS` is left behind.

    The kernel ends no process that waits for the answer of a program which serves a file system (FUSE) and has taken
    the question.
    """
    process = os.pidfd_open(pid)
    try:
        ends = select.poll()
        ends.register(process, select.POLLIN)
        ends.poll(END_SECONDS * 1000)
    finally:
        os.close(process)
    os.waitpid(pid, os.WNOHANG)
