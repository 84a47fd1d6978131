#!/usr/bin/env python3
"""Measure what tracing costs whole programs, beside other tracers of the same functions.

sudo python bench/programs.py [--quick] [--json FILE]
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

from _bpftrace import COUNT, PRINT
from _figures import Goal, ratio
from _harness import build, installation, tell, workplace
from _ours import BYSTANDER, Ours
from _peers import DFTRACER, Bare, Strace, peers
from _result import Result, Table, measure
from _tracer import Work
from _workloads import workloads

from datacrumbs.configure import default_site_file
from datacrumbs.model.plan import Attach
from datacrumbs.probefile.storage import read_unverified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _tracer import Tracer
    from _workloads import Workload

    from datacrumbs.testing import Installation

OURS, DEFAULT = "datacrumbs, system calls", "datacrumbs, default site file"
RECORDING = (PRINT, "perf trace", DFTRACER)
PEERS = frozenset({COUNT, *RECORDING, "strace -f -c"})
MOST = 0.8
# In the first round, of a quick run in none: they take long, and are far apart.
ONCE = frozenset({"strace -f -c", "perf trace"})
TEXT = """\
Seconds of the bare program, and how much longer it takes traced; medians over the rounds, each against the bare run
of its round. All have the same functions: the system calls of the default site file; bpftrace takes those of the
program by the two tracepoints that all system calls share. `default site file` is that file as it is, so it also sees
the C library's streams and HDF5, and records more calls. DFTracer has the C library's calls that it knows; of a
descriptor that it did not see opened it knows no name. `lost` is how many of the calls a tracer did not report,
against those that ours recorded. `not traced` is the same program beside the daemon, not under it. All files are in
memory: on a disk the ratios are smaller. pgbench is the client's time, with client and server traced."""


def take(quick: bool) -> Result:
    rounds, scale = (1, 2) if quick else (3, 10)
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    seen: dict[str, dict[str, float]] = defaultdict(dict)
    sizes: dict[str, float] = {}
    with workplace() as place, installation() as site:
        clock = build("clocked", place)
        tracers, calls = prepare(site, place)
        found = workloads(place, scale=scale)[:: 3 if quick else 1]
        names = {workload.title: used_calls(workload, clock, place, calls) for workload in found}
        for number in range(rounds):
            for workload in found:
                tell(f"programs: {workload.title}, round {number + 1} of {rounds}")
                work = Work(workload.program, names[workload.title])
                for tracer in tracers:
                    if tracer.name in ONCE and (number or quick):
                        continue
                    with tracer.attached(work):
                        seconds[tracer.name][workload.title].append(workload.seconds(tracer, clock, place))
                        if isinstance(tracer, Ours):
                            tracer.traced = False
                            beside = workload.seconds(tracer, clock, place)
                            seconds[tracer.name + BYSTANDER][workload.title].append(beside)
                            tracer.traced = True
                    if (count := tracer.seen()) is not None:
                        seen[tracer.name][workload.title] = count
                    if isinstance(tracer, Ours) and tracer.name == OURS:
                        sizes[workload.title] = tracer.size / max(tracer.counts.recorded, 1)
    losses = {tracer.name: dict(tracer.total) for tracer in tracers if isinstance(tracer, Ours)}
    return result(seconds, seen, sizes, losses)


def prepare(site: Installation, place: Path) -> tuple[list[Tracer], frozenset[str]]:
    """Who takes turns, and the system calls that all of them trace."""
    text = default_site_file().read_text(encoding="utf-8")
    system_calls = site.probes(text, "--providers", "sys")
    plan = read_unverified(system_calls).plan
    calls = {item.symbol for group in plan.groups if group.attach is Attach.SYSCALL for item in group.functions}
    tracers: list[Tracer] = [Bare(place), Ours(site, system_calls, OURS), Ours(site, site.probes(text), DEFAULT)]
    return [*tracers, *(peer for peer in peers(place) if peer.name in PEERS)], frozenset(calls)


def used_calls(workload: Workload, clock: Path, place: Path, calls: frozenset[str]) -> tuple[str, ...]:
    """The system calls that the program makes, of those that all trace: some tracers take a list and know not all."""
    counter = Strace(place, count=True)
    # Only these: of a call that it does not know by name (a return probe is one) strace 6.1 crashes when it sums up.
    with counter.attached(Work(workload.program, tuple(f"?{name}" for name in calls))):
        workload.seconds(counter, clock, place)
        return tuple(sorted(calls & set(counter.output.read_text().split())))


def result(
    seconds: dict[str, dict[str, list[float]]],
    seen: dict[str, dict[str, float]],
    sizes: dict[str, float],
    losses: dict[str, Any],
) -> Result:
    """The table and the goals."""
    bare = seconds["bare"]
    titles = list(bare)
    rows = [
        ["bare, s", *(f"{median(bare[title]):.3f}" for title in titles)],
        ["calls", *(f"{seen[OURS][title]:,.0f}" for title in titles)],
    ]
    overheads = {
        name: {title: (ratio(found[title], bare[title][: len(found[title])]) - 1) * 100 for title in titles}
        for name, found in seconds.items()
        if name != "bare"
    }
    for name, found in overheads.items():
        cells = []
        for title in titles:
            missing = seen[OURS][title] - seen[name][title] if name in seen and name not in {OURS, DEFAULT} else 0
            lost = f" (lost {missing / seen[OURS][title]:.0%})" if missing > 0.02 * seen[OURS][title] else ""
            cells.append(f"{found[title]:+,.0f} %{lost}")
        rows.append([name, *cells])
    rows.append(["trace, bytes a call", *(f"{sizes[title]:.1f}" for title in titles)])
    figures = {"seconds": {name: dict(found) for name, found in seconds.items()}, "seen": dict(seen)}
    figures |= {"bytes_a_call": sizes, "calls": losses}
    table = Table("", ["", *titles], rows)
    return Result("programs", "Whole programs", TEXT, [table], list(goals_of(overheads, seen, titles)), figures)


def sees_most(seen: dict[str, dict[str, float]], name: str, title: str) -> bool:
    """Whether a tracer reported nearly all calls; one that does not is cheap for another reason."""
    return name not in seen or seen[name][title] >= MOST * seen[OURS][title]


def goals_of(
    overheads: dict[str, dict[str, float]], seen: dict[str, dict[str, float]], titles: list[str]
) -> Iterator[Goal]:
    """Ours is to be the lowest of those that record each call."""
    for title in titles:
        others = [name for name in RECORDING if name in overheads and sees_most(seen, name, title)]
        if others:
            best = min(others, key=lambda name: overheads[name][title])
            ours = overheads[OURS][title]
            yield Goal(f"{title}, against {best}", overheads[best][title], ours, "% added")


if __name__ == "__main__":
    measure(take, __doc__)
