#!/usr/bin/env python3
"""Measure what starting a program takes that is not traced, beside a daemon that probes libraries.

sudo python bench/spawn.py [--quick] [--json FILE]
"""

from __future__ import annotations

from importlib.resources import files
from statistics import median
from typing import TYPE_CHECKING

from _daemon import daemon
from _figures import Goal, quiet, spread
from _harness import build, installation, output_of, tell, workplace
from _result import Result, Table, measure

if TYPE_CHECKING:
    from pathlib import Path

TRUE = "/bin/true"
BARE, DEFAULT, ALL = "bare", "beside the default site file", "beside all functions of the C library"
ALL_SITE = "capture_probes:\n  - provider: posix\n    preset: all\n"
ADDED_MILLISECONDS = 0.35
TEXT = """\
`true`, started and waited for, not traced. The kernel writes a breakpoint for each probed function into each new
mapping of a probed library, so what a start takes more grows with the functions of the C library that are probed. Of
a run the first quartile counts, of all runs the median, with the range of the runs."""


def take(quick: bool) -> Result:
    rounds, times = (1, 200) if quick else (7, 500)
    milliseconds: dict[str, list[float]] = {BARE: [], DEFAULT: [], ALL: []}
    default_site = files("datacrumbs.configure").joinpath("default.yaml").read_text(encoding="utf-8")
    with workplace() as directory, installation() as site:
        program = build("spawn", directory)
        sites = {DEFAULT: site.probes(default_site), ALL: site.probes(ALL_SITE)}
        for number in range(rounds):
            tell(f"spawn: round {number + 1} of {rounds}")
            milliseconds[BARE].append(once(program, times))
            for name, probes in sites.items():
                with daemon(site, probes):
                    milliseconds[name].append(once(program, times))
    rows = [[name, spread(values, 2)] for name, values in milliseconds.items()]
    added = median(milliseconds[DEFAULT]) - median(milliseconds[BARE])
    goals = [Goal("start of an untraced program, added by the default site file", ADDED_MILLISECONDS, added, "ms")]
    return Result(
        "spawn", "Starting a program", TEXT, [Table("", ["", "ms"], rows)], goals, {"milliseconds": milliseconds}
    )


def once(program: Path, times: int) -> float:
    """Milliseconds of a start."""
    return quiet([float(word) for word in output_of([program, str(times), TRUE]).split()]) / 1e6


if __name__ == "__main__":
    measure(take, __doc__)
