#!/usr/bin/env python3
"""Measure this checkout and another one in turn: what a call and a start take with each, and the ratio.

sudo python bench/run.py --against CHECKOUT [--rounds N]

Each is run by the environment in its `.venv`, and measured by the programs of this one. What the machine does from
minute to minute, both see; so the ratios say more than the figures.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from _daemon import daemon
from _figures import ratio, spread
from _harness import installation, library, library_site, tell, workplace
from _ours import BYSTANDER
from _peers import Bare
from _result import Table
from _tracer import Work
from calls import LIBRARY, MANY, PROGRAM, SYSTEM, Turn, measured, ours_of, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OWN = Path(__file__).resolve().parents[1]
BATCHES, FUNCTIONS = 101, 8723
START = f"start with {FUNCTIONS:,} functions, ms"
ROWS = {
    "write, ns added": (SYSTEM, "write"),
    "pread, ns added": (SYSTEM, "pread"),
    "library call, ns added": (LIBRARY, "library, push"),
    "write of an untraced process, ns added": (SYSTEM + BYSTANDER, "write"),
    "library call of an untraced process, ns added": (LIBRARY + BYSTANDER, "library, push"),
}
Figures = dict[str, list[float]]


def serve() -> None:
    """Measure once for each line of standard input, with the product of this process's environment."""
    with workplace() as directory, installation() as site:
        program, operations, libraries = prepare(directory)
        turns = [Turn(Bare(directory), Work(PROGRAM, ()), operations)]
        turns += [turn for turn in ours_of(site, libraries, operations) if turn.tracer.name in {SYSTEM, LIBRARY}]
        many = site.probes(library_site(library(FUNCTIONS, directory)))
        print("ready", flush=True)
        for _ in sys.stdin:
            nanoseconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
            for turn in turns:
                measured(program, turn, (BATCHES, MANY), nanoseconds)
            found = {
                row: nanoseconds[name][title][0] - nanoseconds["bare"][title][0] for row, (name, title) in ROWS.items()
            }
            with daemon(site, many) as running:
                found[START] = running.ready_seconds * 1000
            print(json.dumps(found), flush=True)


def compare(other: Path, rounds: int) -> None:
    """Print what each takes, and how much of the other's that is."""
    found: dict[Path, Figures] = {checkout: {row: [] for row in (*ROWS, START)} for checkout in (OWN, other)}
    load = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        asked = {checkout: stack.enter_context(server(checkout)) for checkout in found}
        for number in range(rounds + 1):  # the first one compiles
            tell(f"against: round {number} of {rounds}")
            for checkout in list(found)[:: 1 if number % 2 else -1]:
                print(file=asked[checkout].stdin, flush=True)
                for row, value in json.loads(asked[checkout].stdout.readline()).items():
                    found[checkout][row] += [value] if number else []
    print(f"{rounds} rounds; load average before {load:.1f}, after {os.getloadavg()[0]:.1f}\n")
    print(Table("", ["", str(other), "here", "ratio"], rows_of(found[OWN], found[other])).markdown())


def rows_of(own: Mapping[str, Sequence[float]], others: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Medians with their ranges, and the median over the rounds of one to the other."""
    return [
        [row, spread(others[row], 0), spread(values, 0), f"{ratio(values, others[row]):.2f}"]
        for row, values in own.items()
    ]


@contextlib.contextmanager
def server(checkout: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that measures with a checkout's environment; it begins once it has set up what it needs."""
    command = [checkout / ".venv/bin/python", Path(__file__).resolve()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{checkout} cannot be measured")
        yield process


if __name__ == "__main__":
    serve()
