"""What a command takes: time by the clock, and processor time and memory of it and of what it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from _figures import spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEADINGS = ["", "wall, s", "processor, s", "peak, MiB"]
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run of a command took.

    Args:
        wall: Seconds by the clock.
        processor: Seconds of user and system time, with those of the processes that it waited for.
        peak_mib: The largest resident memory of one of these processes.
    """

    wall: float
    processor: float
    peak_mib: float

    def numbers(self) -> list[float]:
        return [self.wall, self.processor, self.peak_mib]


def run(command: Sequence[str | Path], place: Path | None = None) -> Spent:
    """Run a command, which must do its work, in a working directory."""
    spent = run_within(None, command, place=place)
    if spent is None:
        raise SystemExit(f"{command[0]}: killed")
    return spent


def run_within(
    seconds: float | None, command: Sequence[str | Path], output: str | Path = os.devnull, *, place: Path | None = None
) -> Spent | None:
    """Run a command, which must do its work.

    Args:
        seconds: After which it and all that it has started are killed; None for no end.
        command: Its words.
        output: The file for what it prints.
        place: Its working directory.

    Returns:
        What it took, or None where it was killed.
    """
    limit = [] if seconds is None else ["timeout", "--signal=KILL", f"{seconds:g}"]
    begin = time.monotonic()
    with (
        open(output, "wb") as stream,
        subprocess.Popen([*limit, *command], stdout=stream, cwd=place) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode in _KILLED:
        return None
    if process.returncode:
        raise SystemExit(f"{command[0]}: exit {process.returncode}")
    return Spent(time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row(name: str, values: Sequence[Spent]) -> list[str]:
    """The runs of one command in a line below `HEADINGS`."""
    columns = zip(*(each.numbers() for each in values), strict=True)
    return [name, *(spread(list(column), digits) for column, digits in zip(columns, (1, 1, 0), strict=True))]


def absent(name: str, why: str) -> list[str]:
    """The line of a command without figures."""
    return [name, why, *[""] * (len(HEADINGS) - 2)]
