#!/usr/bin/env python3
"""Measure what it costs to watch a run: the share of a processor of `datacrumbs_top`, and what it adds to the daemon's.

sudo python bench/watching.py [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from statistics import median
from typing import TYPE_CHECKING

from _daemon import COMMANDS, WRAP, Daemon, daemon, processor_seconds
from _figures import Goal, spread
from _harness import build, installation, tell, workplace
from _result import Result, Table, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.testing import Installation

SITE = "capture_probes:\n  - provider: sys\n    functions: lseek\n"
RATE, PERCENT, BEGINNING = 100_000, 1.0, 2.0
ROWS, COLUMNS = 40, 120
TEXT = f"""\
A program calls `lseek` {RATE:,} times a second. `datacrumbs_top` shows the run on a terminal of {ROWS} rows, refreshed
each second; its share is that after its start. What it adds to the daemon is the difference between two stretches of
the same run, with it and without it."""


def take(quick: bool) -> Result:
    rounds, seconds = (1, 5.0) if quick else (5, 15.0)
    viewers, added, alone = [], [], []
    with workplace() as directory, installation() as site:
        program = build("rate", directory)
        probes = site.probes(SITE)
        for number in range(rounds):
            tell(f"watching: round {number + 1} of {rounds}")
            load = [WRAP, str(program), "1", str(RATE), str(2 * seconds + 3 * BEGINNING), "/etc/hostname"]
            with daemon(site, probes) as running, subprocess.Popen(load, stdout=subprocess.DEVNULL) as loading:
                time.sleep(BEGINNING)
                alone.append(share(running.processor_seconds, seconds))
                with watched(site, running) as viewer:
                    time.sleep(BEGINNING)
                    before = processor_seconds(viewer)
                    added.append(share(running.processor_seconds, seconds) - alone[-1])
                    viewers.append((processor_seconds(viewer) - before) / seconds * 100)
                loading.wait()
    rows = [
        ["`datacrumbs_top`", spread(viewers, 2)],
        ["added to the daemon", spread(added, 2)],
        ["the daemon alone", spread(alone, 2)],
    ]
    goals = [
        Goal("datacrumbs_top, of a processor", PERCENT, median(viewers), "%"),
        Goal("added to the daemon by it", PERCENT, median(added), "%"),
    ]
    figures = {"viewer": viewers, "added": added, "alone": alone}
    return Result("watching", "Watching a run", TEXT, [Table("", ["", "% of a processor"], rows)], goals, figures)


def share(spent: Callable[[], float], seconds: float) -> float:
    """Of a processor, in percent, during some seconds."""
    before, begin = spent(), time.monotonic()
    time.sleep(seconds)
    return (spent() - before) / (time.monotonic() - begin) * 100


@contextlib.contextmanager
def watched(site: Installation, running: Daemon) -> Iterator[int]:
    """The process that shows the run on a terminal, whose other end is read."""
    ours, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [COMMANDS / "datacrumbs_top", "--prefix", site.prefix, running.name]
    viewer = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    reading = threading.Thread(target=drain, args=(ours,))
    reading.start()
    try:
        yield viewer.pid
        if viewer.poll() is not None:
            raise SystemExit(f"datacrumbs_top ended with {viewer.returncode}")
    finally:
        viewer.terminate()
        viewer.wait()
        reading.join()
        os.close(ours)


def drain(descriptor: int) -> None:
    """Read until the other end is closed."""
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1 << 16):
            pass


if __name__ == "__main__":
    measure(take, __doc__)
