"""Traces of any size, by the product's own writer: calls of three layers inside each other, on many files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, Role, Target
from datacrumbs.model.record import RECORD, Batch, CallFlag, FunctionCounts, Name, NameKind, RecordKind
from datacrumbs.trace.clocks import SYNCHRONISED, Clock
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.writer import TraceWriter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

EPOCH_NS = 1_790_000_000_123_456_789
FILES = 19_303
PROCESSES, THREADS = 8, 2
FIRST_PROCESS, FIRST_NS = 1000, 10**12
JOB = 4711
SHIFT_NS = 1_009_000
"""How far the clock of a node is ahead of that of the node before."""
CLOCK_ERROR_US = 2_003
BATCH = 16_381
RUN = 37
"""Operations of a thread on one file, one after the other."""
FD = Argument(0, "fd", "int", Role.FD, 4)
COUNT = Argument(2, "count", "size_t", Role.COUNT, 8, signed=False)
OFFSET = Argument(3, "offset", "loff_t")
OPERATIONS = (
    # From the outermost call inwards, and how often.
    (("MPI_File_write_at", "pwrite", "pwrite64"), 0.12),
    (("MPI_File_read_at", "pread", "pread64"), 0.12),
    (("fread", "read", "sys_read"), 0.06),
    (("read", "sys_read"), 0.2),
    (("pwrite", "pwrite64"), 0.2),
    (("stat", "newfstatat"), 0.1),
    (("open", "openat"), 0.1),
    (("close", "sys_close"), 0.1),
)
_SYSTEM = {"pwrite64": "pwrite", "pread64": "pread", "sys_read": "read", "newfstatat": "stat", "openat": "open"}
_SYSTEM |= {"sys_close": "close"}
_DATA = {"read", "pwrite", "pread"}


@dataclass(frozen=True, slots=True)
class Node:
    """One of a job's nodes.

    Args:
        number: From 0.
        nodes: How many there are.
    """

    number: int
    nodes: int


def write_trace(path: Path, calls: int, node: Node | None = None) -> None:
    """A complete trace of about this many calls, the same for the same arguments.

    Args:
        path: Where to.
        calls: How many.
        node: The node of a job that it is of: it has a name and a clock of its own, and each process a rank.
    """
    plan, numbers = _plan()
    random = np.random.default_rng(20 + (node.number if node else 0))
    offset = EPOCH_NS + (SHIFT_NS * node.number if node else 0)
    reading = Clock(FIRST_NS + offset, FIRST_NS, FIRST_NS, 0, SYNCHRONISED, CLOCK_ERROR_US)
    with path.open("wb") as stream:
        writer = TraceWriter(
            stream,
            plan,
            host=f"node{node.number:03}" if node else "node",
            epoch_offset_ns=offset,
            user="user",
            run_id=str(JOB) if node else "bench",
            flush_seconds=1000.0,
            clock=(lambda: reading) if node else None,
        )
        if node:
            writer.write(_begin(node))
        names = tuple(
            Name(row + 1, NameKind.LOCATION, 0, f"/data/set{row % 97}/part-{row:05}.h5") for row in range(FILES)
        )
        now = np.full(PROCESSES * THREADS, FIRST_NS, np.int64)
        counts = np.zeros(len(plan.functions), np.int64)
        made = 0
        while made < calls:
            batch = _batch(random, now, numbers, made)[: calls - made]
            writer.write(Batch(batch, names))
            counts += np.bincount(batch["function"], minlength=len(counts))
            names, made = (), made + len(batch)
        recorded = [FunctionCounts(entered=int(count), recorded=int(count)) for count in counts]
        writer.close(Footer(recorded))


# The beginnings of a node's processes, which say which ranks they are.
def _begin(node: Node) -> Batch:
    program, first = FILES + 1, FILES + 2
    starts = np.zeros(PROCESSES, RECORD)
    starts["function"], starts["start"], starts["file"] = RecordKind.START, FIRST_NS, program
    starts["process"] = starts["thread"] = FIRST_PROCESS + np.arange(PROCESSES)
    starts["values"][:, 0] = first + np.arange(PROCESSES)
    names = [Name(program, NameKind.LOCATION, 0, "/opt/model/bin/model")]
    for local in range(PROCESSES):
        variables = {
            "OMPI_COMM_WORLD_RANK": node.number * PROCESSES + local,
            "OMPI_COMM_WORLD_LOCAL_RANK": local,
            "OMPI_COMM_WORLD_SIZE": node.nodes * PROCESSES,
            "SLURM_JOB_ID": JOB,
        }
        text = "".join(f"{name}={value}\0" for name, value in variables.items())
        names.append(Name(first + local, NameKind.ENVIRONMENT, 0, text))
    return Batch(starts, tuple(names))


def _plan() -> tuple[Plan, dict[str, int]]:
    groups: dict[str, list[Function]] = {"SYS": [], "POSIX": [], "STDIO": [], "MPIIO": []}
    for name in dict.fromkeys(name for names, _ in OPERATIONS for name in names):
        category = "SYS" if name in _SYSTEM else {"f": "STDIO", "M": "MPIIO"}.get(name[0], "POSIX")
        shown = _SYSTEM.get(name, name)
        moves = shown in _DATA or category in {"STDIO", "MPIIO"}
        arguments = (FD, COUNT, OFFSET) if moves else (FD,)
        result = Result.BYTES if moves else Result.STATUS
        groups[category].append(
            Function(shown, name.removeprefix("sys_"), category, arguments=arguments, result=result)
        )
    kernel, library = Target("", "6.1.0"), Target("/usr/lib/lib.so", "ab12")
    plan = Plan(
        (),
        tuple(
            Group(
                category.lower(),
                category,
                *((Attach.SYSCALL, kernel) if category == "SYS" else (Attach.UPROBE, library)),
                tuple(functions),
            )
            for category, functions in groups.items()
        ),
    )
    numbers = {}
    for number, function in enumerate(plan.functions):
        known = function.category == "SYS" and next(name for name, shown in _SYSTEM.items() if shown == function.name)
        numbers[known or function.name] = number
    return plan, numbers


# Calls in the order of their ends; the moments of threads go on.
def _batch(random: np.random.Generator, now: NDArray[np.int64], numbers: dict[str, int], made: int) -> NDArray[np.void]:
    count = BATCH // 2
    kind = random.choice(len(OPERATIONS), count, p=[share for _, share in OPERATIONS])
    lane = np.arange(count) % len(now)
    took = (random.pareto(1.5, count) * 3000 + 900).astype(np.int64)
    turn = np.zeros(count, np.int64)
    for thread in range(len(now)):
        here = lane == thread
        ends = now[thread] + np.cumsum(took[here] + 700)
        turn[here] = ends - took[here]
        now[thread] = ends[-1]
    file = (made + np.arange(count) // len(now) // RUN * len(now) + lane) * 7919 % FILES + 1
    size = random.choice([512, 4096, 65536, 1 << 20], count)
    parts = []
    for depth in range(3):
        for number, (names, _) in enumerate(OPERATIONS):
            if depth >= len(names):
                continue
            rows = np.flatnonzero(kind == number)
            calls = np.zeros(len(rows), RECORD)
            calls["start"] = turn[rows] + 150 * depth
            calls["duration"] = took[rows] - 300 * depth
            calls["process"] = FIRST_PROCESS + lane[rows] // THREADS
            calls["thread"] = FIRST_PROCESS + lane[rows] // THREADS + 100 * (lane[rows] % THREADS)
            calls["function"] = numbers[names[depth]]
            calls["flags"] = int(CallFlag.RETURNED)
            calls["depth"] = depth
            calls["file"] = file[rows]
            calls["result"] = np.where(number < 5, size[rows], 0)
            calls["values"][:, 0] = 3
            calls["values"][:, 1] = size[rows]
            calls["values"][:, 2] = rows * 4096
            parts.append(calls)
    calls = np.concatenate(parts)
    return calls[np.argsort(calls["start"] + calls["duration"], kind="stable")]
