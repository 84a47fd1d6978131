"""Traces of any size, by the product's own writer: calls of three layers inside each other, on many files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, Role, Target
from datacrumbs.model.record import RECORD, Batch, CallFlag, FunctionCounts, Name, NameKind
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.writer import TraceWriter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

EPOCH_NS = 1_790_000_000_123_456_789
FILES = 19_303
PROCESSES, THREADS = 8, 2
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


def write_trace(path: Path, calls: int) -> None:
    """A complete trace of about this many calls, the same for the same number."""
    plan, numbers = _plan()
    random = np.random.default_rng(20)
    with path.open("wb") as stream:
        writer = TraceWriter(
            stream, plan, host="node", epoch_offset_ns=EPOCH_NS, user="user", run_id="bench", flush_seconds=1000.0
        )
        names = tuple(
            Name(row + 1, NameKind.LOCATION, 0, f"/data/set{row % 97}/part-{row:05}.h5") for row in range(FILES)
        )
        now = np.full(PROCESSES * THREADS, 10**12, np.int64)
        counts = np.zeros(len(plan.functions), np.int64)
        made = 0
        while made < calls:
            batch = _batch(random, now, numbers, made)[: calls - made]
            writer.write(Batch(batch, names))
            counts += np.bincount(batch["function"], minlength=len(counts))
            names, made = (), made + len(batch)
        recorded = [FunctionCounts(entered=int(count), recorded=int(count)) for count in counts]
        writer.close(Footer(recorded))


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
            calls["process"] = 1000 + lane[rows] // THREADS
            calls["thread"] = 1000 + lane[rows] // THREADS + 100 * (lane[rows] % THREADS)
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
