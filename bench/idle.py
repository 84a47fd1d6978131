#!/usr/bin/env python3
"""Measure the daemon at rest: its share of a processor and its memory.

sudo python bench/idle.py [--quick] [--json FILE]
"""

from __future__ import annotations

import time
from statistics import median

from _daemon import daemon
from _figures import Goal, spread
from _harness import installation, library, library_site, tell, workplace
from _result import Result, Table, measure

FUNCTIONS = 10_000
CPU_PERCENT, RESIDENT_MIB = 0.5, 150.0
TEXT = f"""\
{FUNCTIONS:,} functions of one library, attached; nothing is traced. User and system time of all the daemon's
processes, and their memory, what they share counted once."""


def take(quick: bool) -> Result:
    rounds, seconds = (1, 4) if quick else (3, 10)
    percent, mib = [], []
    with workplace() as directory, installation() as site:
        probes = site.probes(library_site(library(FUNCTIONS, directory)))
        for number in range(rounds):
            tell(f"idle: round {number + 1} of {rounds}")
            with daemon(site, probes) as running:
                time.sleep(2)
                before, begin = running.processor_seconds(), time.monotonic()
                time.sleep(seconds)
                percent.append((running.processor_seconds() - before) / (time.monotonic() - begin) * 100)
                mib.append(running.resident_mib())
    rows = [["share of a processor, %", spread(percent, 2)], ["resident, MiB", spread(mib)]]
    goals = [
        Goal("daemon idle, of a processor", CPU_PERCENT, median(percent), "%"),
        Goal(f"daemon resident, {FUNCTIONS:,} functions", RESIDENT_MIB, median(mib), "MiB"),
    ]
    figures = {"percent": percent, "resident_mib": mib}
    return Result(
        "idle", "The daemon at rest", TEXT, [Table("", ["", f"{FUNCTIONS:,} functions"], rows)], goals, figures
    )


if __name__ == "__main__":
    measure(take, __doc__)
