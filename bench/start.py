#!/usr/bin/env python3
"""Measure the daemon's start: from the execution of the command to its ready file.

sudo python bench/start.py [--quick] [--json FILE]
"""

from __future__ import annotations

import shutil
import time
from statistics import median
from typing import TYPE_CHECKING

from _bpftrace import Bpftrace
from _daemon import daemon
from _figures import Goal, spread
from _harness import installation, library, library_site, tell, workplace
from _result import Result, Table, measure
from _tracer import Work

if TYPE_CHECKING:
    from pathlib import Path

FUNCTIONS, PEER_FUNCTIONS = 8723, 100
WARM_SECONDS, COLD_SECONDS = 0.6, 2.0
TEXT = f"""\
{FUNCTIONS:,} functions of one library, entry and return. A cold start finds nothing that an earlier one left below
`/var`; a warm one finds what the one before left. bpftrace compiles its script at each start; its time is to its last
attached probe, of {PEER_FUNCTIONS} functions."""


def take(quick: bool) -> Result:
    rounds = 1 if quick else 5
    starts: dict[str, list[float]] = {"cold": [], "warm": [], f"bpftrace, {PEER_FUNCTIONS} functions": []}
    cold, warm, peer = starts.values()
    with workplace() as directory, installation() as site:
        probes = site.probes(library_site(library(FUNCTIONS, directory)))
        small = library(PEER_FUNCTIONS, directory)
        for number in range(rounds):
            tell(f"start: round {number + 1} of {rounds}")
            forget(site.prefix)
            for seconds in (cold, warm):
                with daemon(site, probes) as running:
                    seconds.append(running.ready_seconds)
            tracer = Bpftrace(directory, "bpftrace, count")
            if tracer.available and not (quick or peer):  # it takes long to detach
                symbols = tuple((str(small), f"f_{index:05}") for index in range(PEER_FUNCTIONS))
                begin = time.perf_counter()
                with tracer.attached(Work("nobody", (), symbols)):
                    peer.append(time.perf_counter() - begin)
    rows = [[name, spread(values, 3)] for name, values in starts.items() if values]
    goals = [
        Goal(f"exec to ready, {FUNCTIONS:,} functions, warm", WARM_SECONDS, median(warm), "s"),
        Goal(f"exec to ready, {FUNCTIONS:,} functions, cold", COLD_SECONDS, median(cold), "s"),
    ]
    return Result("start", "Start", TEXT, [Table("", ["", "seconds"], rows)], goals, {"seconds": starts})


def forget(prefix: Path) -> None:
    """Remove what a daemon keeps between runs; traces stay."""
    for kept in (*(prefix / "var/lib/datacrumbs").iterdir(), *(prefix / "var").glob("cache/datacrumbs/*")):
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()


if __name__ == "__main__":
    measure(take, __doc__)
