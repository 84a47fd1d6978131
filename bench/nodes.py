#!/usr/bin/env python3
"""Measure what the report of a job takes as the job has more nodes, beside DFAnalyzer on the same directory.

python bench/nodes.py [--quick] [--json FILE]
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from _harness import tell, workplace
from _peers import DFANALYZER, analysis
from _result import Result, Table, measure
from _spent import HEADINGS, Spent, absent, row, run_within
from _synthetic import Node, write_trace
from reading import FRESH

from datacrumbs.output import counted

Measured = dict[str, dict[int, Spent | None]]
"""Of each command what it took by the number of nodes: nothing where it is not here, None where it was ended."""

NODES, QUICK_NODES = (1, 4, 16, 64), (1, 2, 4)
CALLS, QUICK_CALLS = 1_562_503, 20_011
ON_PAPER = (250, 1000)
MOST_SECONDS = 900.0
WHOLE, FUNCTIONS, DASK = "tables and findings", "table of functions", "table of functions, --engine dask"
TEXT = f"""\
A job of 1 to {NODES[-1]} nodes: on each, eight ranks of two threads make {CALLS:,} calls of MPI-IO, of the C library
and of the system inside each other, on 19,303 files of all nodes; the clock of each node is 1.009 ms ahead of the one
before. `{WHOLE}` is `datacrumbs_report DIR`; `{FUNCTIONS}` has `--by function --json`, in one process and
with `--engine dask`, which must print the same bytes. DFAnalyzer's preset for POSIX reads the same directory, without
an index from before; it is ended after {MOST_SECONDS / 60:g} minutes, and not given larger jobs then. One run of each;
memory is that of the largest process. What is on paper continues the line through the two largest jobs."""


def take(quick: bool) -> Result:
    counts, calls = (QUICK_NODES, QUICK_CALLS) if quick else (NODES, CALLS)
    with workplace(Path(tempfile.gettempdir())) as place:
        jobs = write_jobs(place, counts, calls)
        measured = {name: run_all(name, jobs, place) for name in (WHOLE, FUNCTIONS, DASK, DFANALYZER)}
        for nodes in measured[DASK]:
            if (place / f"{DASK} {nodes}").read_bytes() != (place / f"{FUNCTIONS} {nodes}").read_bytes():
                raise SystemExit(f"{nodes} nodes: --engine dask does not print what one process does")
    tables = [Table("", HEADINGS, rows(measured, calls)), on_paper(measured)]
    figures = {
        name: {str(nodes): taken and taken.numbers() for nodes, taken in of_jobs.items()}
        for name, of_jobs in measured.items()
    }
    return Result("nodes", "Many nodes", TEXT, tables, [], figures)


def run_all(name: str, jobs: dict[int, Path], place: Path) -> dict[int, Spent | None]:
    """One command on each job, the smallest first, until it is ended; nothing where it is not here."""
    spent: dict[int, Spent | None] = {}
    for nodes, job in jobs.items():
        command = words_of(name, job, place / "result.json")
        if not command or None in spent.values():
            break
        limit = MOST_SECONDS if name == DFANALYZER else None
        taken = spent[nodes] = run_within(limit, command, place / f"{name} {nodes}", place=place)
        tell(f"nodes: {nodes}, {name}: {'; '.join(row('', [taken])[1:]) if taken else 'ended'}")
    return spent


def write_jobs(place: Path, counts: tuple[int, ...], calls: int) -> dict[int, Path]:
    """A directory for each job, by its number of nodes; a smaller job has the first traces of the largest."""
    traces = [place / "traces" / f"node{number:03}.pfw.gz" for number in range(counts[-1])]
    traces[0].parent.mkdir()
    tell(f"nodes: traces of {counts[-1]} nodes, {calls:,} calls each")
    nodes = [Node(number, counts[-1]) for number in range(counts[-1])]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        list(pool.map(write_trace, traces, repeat(calls), nodes))
    jobs = {}
    for count in counts:
        jobs[count] = place / f"job{count}"
        jobs[count].mkdir()
        for trace in traces[:count]:
            (jobs[count] / trace.name).hardlink_to(trace)
    return jobs


def words_of(name: str, job: Path, result: Path) -> list[str | Path]:
    """A command that is measured; no words where it is not here."""
    functions = [*FRESH, job, "--by", "function", "--json"]
    if name == DFANALYZER:
        return analysis(job, result)
    if name == DASK:
        return [*functions, "--engine", "dask"] if find_spec("dask") else []
    return functions if name == FUNCTIONS else [*FRESH, job]


def rows(measured: Measured, calls: int) -> list[list[str]]:
    found = []
    for name, of_jobs in measured.items():
        found += [] if of_jobs else [absent(name, "not here")]
        for nodes, taken in of_jobs.items():
            what = f"{name}, {counted(nodes, 'node')}, {nodes * calls / 1e6:.3g} M calls"
            found.append(row(what, [taken]) if taken else absent(what, f"ended after {MOST_SECONDS:g}"))
    return found


def on_paper(measured: Measured) -> Table:
    """Where the figures lead that two or more jobs gave."""
    headings = ["on paper", "processor, s a node", *(f"{nodes:,} nodes, s" for nodes in ON_PAPER)]
    headings += ["peak, MiB a node", *(f"{nodes:,} nodes, MiB" for nodes in ON_PAPER)]
    found = []
    for name, of_jobs in measured.items():
        whole = [(nodes, taken) for nodes, taken in of_jobs.items() if taken]
        if len(whole) > 1:
            (fewer, less), (more, most) = whole[-2:]
            cells = []
            for low, high in ((less.processor, most.processor), (less.peak_mib, most.peak_mib)):
                slope = (high - low) / (more - fewer)
                cells += [f"{slope:.2f}", *(f"{high + slope * (nodes - more):,.0f}" for nodes in ON_PAPER)]
            found.append([name, *cells])
    return Table("", headings, found)


if __name__ == "__main__":
    measure(take, __doc__)
