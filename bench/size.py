#!/usr/bin/env python3
"""Measure how many bytes of compressed trace a call takes, on 4 KiB reads and writes at random places.

sudo python bench/size.py [--quick] [--json FILE]
"""

from __future__ import annotations

from _figures import Goal
from _harness import build, installation, tell, workplace
from _ours import Ours
from _peers import Bare, Dftracer
from _result import Result, Table, measure
from _tracer import Work
from _workloads import fio_random

from datacrumbs.configure import default_site_file

BYTES_PER_CALL = 10.0
TEXT = """\
fio, 4 KiB reads and writes at random places, psync. `system calls` records those of the default site file, `default
site file` the C library's streams, too. DFTracer records fewer arguments of fewer calls."""


def take(quick: bool) -> Result:
    rows, figures = [], {}
    with workplace() as place, installation() as site:
        clock = build("clocked", place)
        workload = fio_random(place, 1 if quick else 10)
        text = default_site_file().read_text(encoding="utf-8")
        tracers: list[Ours | Dftracer] = [
            Ours(site, site.probes(text, "--providers", "sys"), "datacrumbs, system calls"),
            Ours(site, site.probes(text), "datacrumbs, default site file"),
            Dftracer(place),
        ]
        workload.seconds(Bare(place), clock, place)  # lays out the file
        for tracer in tracers:
            if tracer.available:
                tell(f"size: {tracer.name}")
                with tracer.attached(Work("fio", ())):
                    workload.seconds(tracer, clock, place)
                calls, size = tracer.seen() or 1, tracer.size
                figures[tracer.name] = {"calls": calls, "bytes": size, "bytes_a_call": size / calls}
                rows.append([tracer.name, f"{calls:,}", f"{size / 1024:,.0f}", f"{size / calls:.1f}"])
    measured = figures["datacrumbs, system calls"]["bytes_a_call"]
    goals = [Goal("trace of fio 4 KiB random", BYTES_PER_CALL, measured, "bytes a call")]
    table = Table("", ["", "calls", "trace, KiB", "bytes a call"], rows)
    return Result("size", "Size of a trace", TEXT, [table], goals, figures)


if __name__ == "__main__":
    measure(take, __doc__)
