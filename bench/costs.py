#!/usr/bin/env python3
"""Measure how near the cost that a trace states is to what tracing adds: calls of four kinds, bare and traced.

sudo python bench/costs.py [--quick] [--json FILE]
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from _daemon import WRAP, daemon
from _figures import quiet, spread
from _harness import build, installation, library, library_site, output_of, tell, workplace
from _result import Result, Table, measure
from calls import SYSTEM_SITE

from datacrumbs.trace.costs import NOT_KNOWN, CallCost, read_costs
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from datacrumbs.testing import Installation

CALLS, FUNCTION, PATIENCE_SECONDS, RUN_SECONDS = 1000, "f_00000", 60.0, 3.0
TEXT = """\
Added nanoseconds a call, measured as for *One call*, beside what the same run's trace states for calls of that kind
(`cost ...` of its provenance, with its margin). The error is that of the stated cost, by the median of the measured."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Calls of one kind: words for the program, what is probed, and the way of which the trace states the cost."""

    title: str
    operation: str
    place: str
    probes: Path
    way: str


def take(quick: bool) -> Result:
    rounds, batches = (1, 41) if quick else (7, 101)
    measured: dict[str, list[float]] = defaultdict(list)
    stated: dict[str, list[CallCost]] = defaultdict(list)
    with workplace() as directory, installation() as site:
        program = build("calls", directory)
        kinds = list(kinds_of(site, directory))
        for probes in dict.fromkeys(kind.probes for kind in kinds):
            calibrate(site, probes)
        for number in range(rounds):
            tell(f"costs: round {number + 1} of {rounds}")
            for kind in kinds:
                command = [str(program), kind.operation, str(batches), str(CALLS), kind.place]
                bare = nanoseconds(command)
                with daemon(site, kind.probes) as running:
                    running.settle()
                    measured[kind.title].append(nanoseconds([WRAP, *command]) - bare)
                ways = {found.way: found.cost for found in read_costs(provenance(running.traces()))}
                stated[kind.title] += filter(None, [ways.get(kind.way)])
    rows = [row(kind.title, measured[kind.title], stated[kind.title]) for kind in kinds]
    figures = {
        "measured": dict(measured),
        "stated": {title: [c.bounds for c in found] for title, found in stated.items()},
    }
    return Result("costs", "The stated cost", TEXT, [Table("", ["", "measured", "stated", "error"], rows)], [], figures)


def kinds_of(site: Installation, directory: Path) -> Iterator[Kind]:
    """Two system calls, and a function whose probe is emulated or single-stepped."""
    data = directory / "data"
    data.write_bytes(bytes(1 << 16))
    probes = site.probes(SYSTEM_SITE)
    yield Kind("write", "write", "/dev/null", probes, "system call")
    yield Kind("pread", "pread", str(data), probes, "system call")
    for beginning, options, way in (
        ("push", (), "function"),
        ("endbr64", ("--no-move",), "function, single-stepped"),
    ):
        path = library(1, directory, beginning)
        probes = site.probes(library_site(path), *options)
        yield Kind(f"library, {beginning}", f"{path}:{FUNCTION}", str(data), probes, way)


def calibrate(site: Installation, probes: Path) -> None:
    """Run until two runs in turn know the costs, so that they are kept."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    known = 0
    while known < 2 and time.monotonic() < deadline:
        with daemon(site, probes) as running:
            time.sleep(RUN_SECONDS)
        known = 0 if NOT_KNOWN in provenance(running.traces()) else known + 1


def nanoseconds(command: list[str]) -> float:
    """Of a call, by the quiet batches."""
    return quiet([float(word) for word in output_of(command).splitlines()[-1].split()])


def provenance(paths: list[Path]) -> Mapping[str, str]:
    """Of the run's last file."""
    return read_traces(paths).files[-1].provenance


def row(title: str, measured: list[float], stated: list[CallCost]) -> list[str]:
    """One kind's figures."""
    if not stated:
        return [title, spread(measured, 0), "none", ""]
    middle = median(cost.nanoseconds for cost in stated)
    margin = max(cost.margin for cost in stated)
    error = 100 * (middle / median(measured) - 1)
    return [title, spread(measured, 0), f"{middle:,.0f} ±{margin:,.0f}", f"{error:+.0f} %"]


if __name__ == "__main__":
    measure(take, __doc__)
