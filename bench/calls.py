#!/usr/bin/env python3
"""Measure what tracing adds to one call: of a system call, of a library function, of a program that is not traced.

sudo python bench/calls.py [--quick] [--json FILE]
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from _bpftrace import COUNT, PRINT
from _daemon import help_of
from _figures import Goal, quiet, spread
from _harness import build, installation, library, library_site, output_of, tell, workplace
from _ours import BYSTANDER, Ours
from _peers import DFTRACER, Bare, EmptyPrograms, peers
from _result import Result, Table, measure
from _tracer import Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _tracer import Tracer

    from datacrumbs.testing import Installation

PROGRAM = "calls"
FEW, MANY = 20, 1000  # calls of a batch: tracers that stop the program take too long for more
SLOW = frozenset({"strace -f", "strace -f -c", "perf trace"})
PEER_ROUNDS = 3  # they are far apart, and take long to attach and detach
FUNCTION = "f_00000"
SYSTEM, LIBRARY, UNMOVED = (
    "datacrumbs, system calls",
    "datacrumbs, libraries",
    "datacrumbs, libraries, probes not moved",
)
PROFILED, SAMPLED = SYSTEM + ", profiled", SYSTEM + ", one of 100"
NOT_QUICK = SLOW | {UNMOVED, PROFILED}
SYSTEM_SITE = "capture_probes:\n  - provider: sys\n    functions: (write|pread64)\n"
LIBC_SITE = "  - provider: posix\n    functions: (write|pread|pread64)\n"
TEXT = """\
Added nanoseconds a call: `write` of 64 bytes to `/dev/null`, `pread` of 4 KiB from a file in memory, and a function
of a few instructions in a library, which begins with `push` or with `endbr64`. The program takes the time itself, in
batches; of a run the first quartile of its batches counts, of all runs the median, with the range of the runs.
`system calls` probes the two system calls, `libraries` the C library's `write` and `pread` and the two other
functions; both record arguments, result and, of a descriptor, the file. `profiled` adds the calls up in the kernel,
`one of 100` records a sample of them. bpftrace has the same functions, entry and return: it keeps count and sum of
times, or prints name, thread, result and time. `not traced` is the same program beside the tracer, not under it. Two
programs that do nothing, at the begin and the end of each system call, show what the kernel takes for that alone.
DFTracer and uftrace work inside the program, strace and perf trace know system calls only."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What the program does in a loop."""

    title: str
    argument: str
    place: str


class Turn(NamedTuple):
    """Who traces what."""

    tracer: Tracer
    work: Work
    operations: list[Operation]


def take(quick: bool) -> Result:
    rounds, batches = (1, 41) if quick else (7, 101)
    nanoseconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with workplace() as directory, installation() as site:
        program, operations, libraries = prepare(directory)
        turns = [
            Turn(Bare(directory), Work(PROGRAM, ()), operations),
            *turns_of(site, directory, libraries, operations),
        ]
        for number in range(rounds):
            tell(f"calls: round {number + 1} of {rounds}")
            for turn in turns:
                tracer = turn.tracer
                if quick and tracer.name in NOT_QUICK:
                    continue
                if number >= PEER_ROUNDS and not isinstance(tracer, (Bare, Ours)):
                    continue
                measured(program, turn, (batches, FEW if tracer.name in SLOW else MANY), nanoseconds)
    losses = {tracer.name: dict(tracer.total) for tracer, *_ in turns if isinstance(tracer, Ours)}
    return result(nanoseconds, [operation.title for operation in operations], losses)


def prepare(directory: Path) -> tuple[Path, list[Operation], dict[str, Path]]:
    """The program, what it can do, and the libraries by how their function begins."""
    data = directory / "data"
    data.write_bytes(bytes(1 << 16))
    libraries = {beginning: library(1, directory, beginning) for beginning in ("push", "endbr64")}
    operations = [Operation("write", "write", "/dev/null"), Operation("pread", "pread", str(data))]
    operations += [
        Operation(f"library, {beginning}", f"{path}:{FUNCTION}", str(data)) for beginning, path in libraries.items()
    ]
    return build(PROGRAM, directory), operations, libraries


def turns_of(
    site: Installation, directory: Path, libraries: dict[str, Path], operations: list[Operation]
) -> list[Turn]:
    """Who traces what."""
    ours = ours_of(site, libraries, operations)
    system_calls, symbols = ours[0].work, ours[-1].work
    turns = [Turn(EmptyPrograms(directory), system_calls, operations[:2]), *ours]
    for peer in peers(directory):
        turns.append(Turn(peer, system_calls, operations[:2]))
        if peer.name.startswith("bpftrace"):
            turns.append(Turn(peer, symbols, operations[2:]))
    return turns


def ours_of(site: Installation, libraries: dict[str, Path], operations: list[Operation]) -> list[Turn]:
    """The product's: system calls first, libraries last."""
    own = [library_site(path).partition("\n")[2] for path in libraries.values()]
    functions = "capture_probes:\n" + LIBC_SITE + "".join(own)
    system_calls = Work(PROGRAM, ("write", "pread64"))
    symbols = Work(PROGRAM, (), tuple((str(path), FUNCTION) for path in libraries.values()))
    turns = []
    for name, detail in ((SYSTEM, ""), (PROFILED, "mode: profile\n"), (SAMPLED, "sample: 100\n")):
        turns.append(Turn(Ours(site, site.probes(detail + SYSTEM_SITE), name), system_calls, operations[:2]))
    turns.append(Turn(Ours(site, site.probes(functions), LIBRARY), symbols, operations))
    if "--no-move" in help_of("datacrumbs_probe_configurator"):
        turns.append(Turn(Ours(site, site.probes(functions, "--no-move"), UNMOVED), symbols, operations))
    return turns


def measured(program: Path, turn: Turn, size: tuple[int, int], nanoseconds: dict[str, dict[str, list[float]]]) -> None:
    """Each operation once traced; beside ours also once not traced. ``size``: batches, and calls of each."""
    tracer = turn.tracer
    with tracer.attached(turn.work):
        for operation in turn.operations:
            command = list(map(str, [program, operation.argument, *size, operation.place]))
            for traced in (True, False) if isinstance(tracer, Ours) else (True,):
                if isinstance(tracer, Ours):
                    tracer.traced = traced
                text = output_of(tracer.command(command)).splitlines()[-1]
                name = tracer.name if traced else tracer.name + BYSTANDER
                nanoseconds[name][operation.title].append(quiet([float(word) for word in text.split()]))


def result(nanoseconds: dict[str, dict[str, list[float]]], titles: list[str], losses: dict[str, Any]) -> Result:
    """The table and the goals."""
    bare = nanoseconds["bare"]
    base = {title: median(bare[title]) for title in titles}
    rows = [["bare, ns a call", *(spread(bare[title], 0) for title in titles)]]
    for name, found in nanoseconds.items():
        if name != "bare":
            added = {title: [value - base[title] for value in found[title]] for title in titles if title in found}
            rows.append([name, *(spread(added[title], 0) if title in added else "" for title in titles)])
    figures = {"nanoseconds": {name: dict(found) for name, found in nanoseconds.items()}, "calls": losses}
    medians = {
        name: {title: median(values) - base[title] for title, values in found.items()}
        for name, found in nanoseconds.items()
    }
    return Result("calls", "One call", TEXT, [Table("", ["", *titles], rows)], list(goals_of(medians)), figures)


def goals_of(added: dict[str, dict[str, float]]) -> Iterator[Goal]:
    """What a call may cost; peers that are not on this machine set no goal."""
    for call in ("write", "pread"):
        ours = added[SYSTEM][call]
        yield Goal(f"{call} traced", 450, ours, "ns")
        if PRINT in added:
            yield Goal(f"{call} traced, against a tenth of bpftrace printing", added[PRINT][call] / 10, ours, "ns")
        if DFTRACER in added:
            yield Goal(f"{call} traced, against half of DFTracer", added[DFTRACER][call] / 2, ours, "ns")
    for title in ("library, push", "library, endbr64", "write"):
        yield Goal(f"library function traced: {title.removeprefix('library, ')}", 1800, added[LIBRARY][title], "ns")
    if COUNT in added:
        limit = added[COUNT]["library, endbr64"] / 3
        ours = added[LIBRARY]["library, endbr64"]
        yield Goal("library function, endbr64, against a third of bpftrace counting", limit, ours, "ns")
    for call in ("write", "pread"):
        yield Goal(f"{call} of an untraced process", 100, added[SYSTEM + BYSTANDER][call], "ns")
    yield Goal("probed library function in an untraced process", 900, added[LIBRARY + BYSTANDER]["library, push"], "ns")


if __name__ == "__main__":
    measure(take, __doc__)
