#!/usr/bin/env python3
"""Measure attaching and detaching the functions of a library, by each way that the kernel has.

sudo python bench/attach.py [--quick] [--json FILE]
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from statistics import median

from _daemon import daemon, help_of
from _figures import Goal, spread
from _harness import installation, library, library_site, tell, workplace
from _result import Result, Table, measure

LIMITS_MS = {100: 6.0, 2489: 9.0, 3544: 12.0, 8723: 16.0}
EXIT_SECONDS = 0.3
# One event for each probe: the time grows with the square of their number.
FORCED_ROUNDS = 2
SLOW_METHODS, SLOW_LIMIT = frozenset({"perf"}), 100
TEXT = """\
A library of this many functions that no process has mapped; entry and return of each. Milliseconds of attaching are
what the daemon says, the end is from SIGINT to the end of its process, with the trace closed. The methods take
turns."""


def take(quick: bool) -> Result:
    rounds = 1 if quick else 5
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with workplace() as directory, installation() as site:
        probes = {size: site.probes(library_site(library(size, directory))) for size in LIMITS_MS}
        for number, (size, method) in product(range(rounds), product(LIMITS_MS, ["auto"] if quick else methods())):
            if number >= FORCED_ROUNDS and method != "auto":
                continue
            if method in SLOW_METHODS and (size > SLOW_LIMIT or number):
                continue
            tell(f"attach: {size} functions, {method}, round {number + 1} of {rounds}")
            options = ("--attach-method", method) if method != "auto" else ()
            try:
                with daemon(site, probes[size], *options) as running:
                    pass
            except SystemExit as error:
                if method == "auto":
                    raise
                tell(f"  not here: {error}")
                continue
            key = f"{size} functions, {method}"
            figures[key]["attach_ms"].append(running.attach_milliseconds)
            figures[key]["end_s"].append(running.stop_seconds)
    rows = [[key, spread(values["attach_ms"]), spread(values["end_s"], 3)] for key, values in figures.items()]
    goals = []
    for size, limit in LIMITS_MS.items():
        values = figures[f"{size} functions, auto"]
        goals.append(Goal(f"attach {size:,} functions, entry + return", limit, median(values["attach_ms"]), "ms"))
    values = figures[f"{max(LIMITS_MS)} functions, auto"]
    goals.append(Goal(f"detach {max(LIMITS_MS):,} functions and exit", EXIT_SECONDS, median(values["end_s"]), "s"))
    table = Table("", ["", "attach, ms", "detach and exit, s"], rows)
    return Result("attach", "Attaching", TEXT, [table], goals, {key: dict(value) for key, value in figures.items()})


def methods() -> list[str]:
    """Those that can be forced, and the daemon's own choice."""
    text = help_of("datacrumbs")
    if "--attach-method" not in text:
        return ["auto"]
    return [method for method in ("auto", "session", "multi", "perf") if method in text]


if __name__ == "__main__":
    measure(take, __doc__)
