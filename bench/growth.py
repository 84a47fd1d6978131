#!/usr/bin/env python3
"""Measure whether a traced call costs more with more probed functions, or with more traced processes.

sudo python bench/growth.py [--quick] [--json FILE]
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from _daemon import WRAP, daemon
from _figures import Goal, quiet, spread
from _harness import build, installation, library, library_site, output_of, tell, workplace
from _result import Result, Table, measure
from calls import SYSTEM_SITE

FUNCTIONS, PROCESSES = (100, 1000, 10_000), (1, 10, 100, 1000)
BATCHES, CALLS = 41, 1000
FLAT = 1.15  # less than the machine's own noise from run to run
TEXT = """\
Nanoseconds of a traced call (the call included): the last function of a library of which this many are probed, and
`pread` of 4 KiB while this many processes of the same run are alive. Bare, the function takes 2 ns."""


def take(quick: bool) -> Result:
    rounds = 1 if quick else 5
    by_functions: dict[int, list[float]] = defaultdict(list)
    by_processes: dict[int, list[float]] = defaultdict(list)
    with workplace() as directory, installation() as site:
        program = build("calls", directory)
        data = directory / "data"
        data.write_bytes(bytes(1 << 16))
        libraries = {size: library(size, directory) for size in FUNCTIONS}
        probes = {size: site.probes(library_site(path)) for size, path in libraries.items()}
        system_calls = site.probes(SYSTEM_SITE)
        for number in range(rounds):
            tell(f"growth: round {number + 1} of {rounds}")
            for size, path in libraries.items():
                with daemon(site, probes[size]) as running:
                    running.settle(10.0)
                    operation = f"{path}:f_{size - 1:05}"
                    by_functions[size].append(_nanoseconds([WRAP, program, operation, BATCHES, CALLS, data]))
            with daemon(site, system_calls) as running:
                for processes in PROCESSES:
                    running.settle(10.0)
                    command = [WRAP, program, "pread", BATCHES, CALLS, data, processes - 1]
                    by_processes[processes].append(_nanoseconds(command))
    rows = [[f"{size:,} functions", spread(values, 0)] for size, values in by_functions.items()]
    rows += [[f"{count:,} processes", spread(values, 0)] for count, values in by_processes.items()]
    goals = [
        Goal("a call with 10,000 functions, of one with 100", FLAT, _growth(by_functions), "times"),
        Goal("a call with 1,000 traced processes, of one with 1", FLAT, _growth(by_processes), "times"),
    ]
    figures = {"functions": dict(by_functions), "processes": dict(by_processes)}
    return Result("growth", "Growth", TEXT, [Table("", ["", "ns a call"], rows)], goals, figures)


def _growth(found: dict[int, list[float]]) -> float:
    return median(found[max(found)]) / median(found[min(found)])


def _nanoseconds(command: list[object]) -> float:
    return quiet([float(word) for word in output_of([str(word) for word in command]).split()])


if __name__ == "__main__":
    measure(take, __doc__)
