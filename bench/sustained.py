#!/usr/bin/env python3
"""Measure how many calls a second the daemon takes for how long, with what of a processor, and how much trace that is.

sudo python bench/sustained.py [--quick] [--json FILE]
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from _daemon import WRAP, Daemon, daemon
from _figures import Goal
from _harness import build, installation, output_of, tell, workplace
from _result import Result, Table, measure

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.testing import Installation

SITE = "capture_probes:\n  - provider: sys\n    functions: lseek\n"
RATE, BURST_RATE = 1_000_000, 5_000_000
TEXT = """\
A program calls `lseek` at a rate, on as many threads as it needs; it and the daemon share the machine's processors.
`made` is what it reached beside the daemon: a call that is traced takes longer, and two threads leave the daemon no
processor of its own. The daemon's time is user and system time of all its processes, from the first call until it had
written the last one; `until written` is how long that took after the program's end. The trace is on disk."""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of the program."""

    title: str
    threads: int
    rate: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    made: int
    seconds: float
    lost: int
    cores: float
    cpu_seconds: float
    written_after: float
    trace_mib: float
    bytes_per_call: float


def take(quick: bool) -> Result:
    seconds = 5.0 if quick else 60.0
    loads = [
        Load(f"1 M/s for {seconds:.0f} s", 1, RATE, seconds),
        Load("5 M/s for 1 s", 2, BURST_RATE, 1.0),
    ]
    with workplace() as directory, installation() as site:
        program = build("rate", directory)
        probes = site.probes(SITE)
        bare = {load.title: _made(output_of(_command(program, load, limit=5.0))) for load in loads}
        outcomes = {load.title: run(site, probes, program, load) for load in loads}
    rows = [
        [
            title,
            f"{bare[title][0] / bare[title][1] / 1e6:.2f}",
            f"{found.made / found.seconds / 1e6:.2f}",
            f"{found.lost:,} of {found.made:,}",
            f"{found.cores:.2f}",
            f"{found.cpu_seconds / max(found.made - found.lost, 1) * 1e9:,.0f}",
            f"{found.written_after:.1f}",
            f"{found.trace_mib:,.1f}",
            f"{found.bytes_per_call:.1f}",
        ]
        for title, found in outcomes.items()
    ]
    headings = ["", "made bare, M/s", "made, M/s", "lost", "daemon, processors", "daemon, ns a call"]
    headings += ["until written, s", "trace, MiB", "bytes a call"]
    sustained, burst = outcomes.values()
    goals = [
        Goal(
            f"calls made at {loads[0].title}",
            RATE * 0.999 / 1e6,
            sustained.made / sustained.seconds / 1e6,
            "M/s",
            at_least=True,
        ),
        Goal(f"calls lost at {loads[0].title}", 0, sustained.lost, "calls"),
        Goal(f"daemon at {loads[0].title}", 1.0, sustained.cores, "processors"),
        Goal(
            f"calls made at {loads[1].title}", BURST_RATE / 1e6, burst.made / burst.seconds / 1e6, "M/s", at_least=True
        ),
        Goal(f"calls lost at {loads[1].title}", 0, burst.lost, "calls"),
    ]
    figures = {title: {key: getattr(found, key) for key in Outcome.__slots__} for title, found in outcomes.items()}
    figures |= {f"{title}, bare": {"made": made, "seconds": took} for title, (made, took) in bare.items()}
    return Result("sustained", "Many calls a second", TEXT, [Table("", headings, rows)], goals, figures)


def run(site: Installation, probes: Path, program: Path, load: Load) -> Outcome:
    """The load beside a daemon, until that has written all of it."""
    tell(f"sustained: {load.title}")
    with daemon(site, probes) as running:
        running.settle(10.0)
        before = running.processor_seconds()
        made, seconds = _made(output_of([WRAP, *_command(program, load)]))
        end = time.monotonic()
        running.settle()
        after, written = running.processor_seconds(), time.monotonic() - end
    return outcome(running, made, seconds, after - before, written)


def outcome(running: Daemon, made: int, seconds: float, cpu_seconds: float, written: float) -> Outcome:
    """The daemon must know of every call that was made."""
    counts = running.counts()
    if counts.entered < made:
        raise SystemExit(f"{made} calls were made, the daemon says {counts}")
    size = running.bytes_on_disk()
    for trace in running.traces():
        trace.unlink()
    per_call = size / max(counts.recorded, 1)
    cores = cpu_seconds / (seconds + written)
    return Outcome(made, seconds, counts.lost, cores, cpu_seconds, written, size / (1 << 20), per_call)


def _command(program: Path, load: Load, limit: float = 60.0) -> list[str]:
    return [str(program), str(load.threads), str(load.rate), str(min(load.seconds, limit)), "/etc/hostname"]


def _made(text: str) -> tuple[int, float]:
    calls, seconds = text.split()
    return int(calls), float(seconds)


if __name__ == "__main__":
    measure(take, __doc__)
