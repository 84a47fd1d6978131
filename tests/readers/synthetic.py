"""A trace with everything in it that a trace can have, made from records with a fixed seed.

Loaded by path (see the conftest files), because tests are no package.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.plan import (
    Argument,
    Attach,
    Filters,
    Function,
    Group,
    Plan,
    Result,
    Role,
    Snippet,
    Target,
)
from datacrumbs.model.record import RECORD, Batch, CallFlag, FunctionCounts, Name, NameKind, RecordKind
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import BinaryIO

EPOCH = 1_790_000_000_123_456_789
FD = Argument(0, "fd", "int", Role.FD, 4)
FUNCTIONS = (
    Function(
        "open",
        "openat",
        "POSIX",
        arguments=(
            Argument(0, "dirfd", "int", Role.DIRFD, 4),
            Argument(1, "path", "const char *", Role.PATH),
            Argument(2, "flags", "int", Role.FLAGS, 4),
            Argument(3, "mode", "mode_t", Role.VALUE, 4, signed=False),
        ),
        result=Result.FD,
    ),
    Function(
        "read",
        "read",
        "POSIX",
        arguments=(FD, Argument(2, "count", "size_t", Role.COUNT, 8, signed=False)),
        result=Result.BYTES,
    ),
    Function(
        "pwrite",
        "pwrite64",
        "POSIX",
        arguments=(FD, Argument(2, "count", "size_t", Role.COUNT, 8, signed=False), Argument(3, "offset", "loff_t")),
        result=Result.BYTES,
    ),
    Function("close", "close", "POSIX", arguments=(FD,), result=Result.STATUS),
    Function("stat", "newfstatat", "POSIX", arguments=(Argument(1, "path", role=Role.PATH),), result=Result.STATUS),
    Function(
        "rename",
        "rename",
        "POSIX",
        arguments=(Argument(0, "oldpath", role=Role.PATH), Argument(1, "newpath", role=Role.PATH)),
        result=Result.STATUS,
    ),
    Function("exit_group", "exit_group", "SYS", arguments=(Argument(0, "status", "int", size=4),), result=Result.VOID),
    Function(
        "fread",
        "fread",
        "STDIO",
        arguments=(
            Argument(1, "size", "size_t", Role.SIZE, 8, signed=False),
            Argument(2, "count", "size_t", Role.COUNT, 8, signed=False),
            Argument(3, "stream", "FILE *", Role.HANDLE, 8, signed=False),
        ),
        result=Result.ITEMS,
    ),
    Function(
        "H5Dopen2",
        "H5Dopen2",
        "HDF5",
        arguments=(Argument(0, "location", "hid_t", Role.HANDLE), Argument(1, "dataset", role=Role.STRING)),
        result=Result.HANDLE,
    ),
    Function(
        "MPI_File_write",
        "MPI_File_write",
        "MPIIO",
        arguments=(Argument(0, "file", "MPI_File", Role.HANDLE), Argument(2, "type", "int", Role.VALUE, 4)),
        result=Result.CODE,
        snippet="datatype",
    ),
    Function(
        "block_rq_issue",
        "block:block_rq_issue",
        "BLOCK",
        arguments=(
            Argument(8, "sector", "sector_t", size=8, signed=False),
            Argument(16, "length", "u32", Role.BYTES, 4),
        ),
        result=Result.VOID,
    ),
)
OPEN, READ, PWRITE, CLOSE, STAT, RENAME, EXIT, FREAD, H5DOPEN, MPI_WRITE, BLOCK = range(len(FUNCTIONS))

FILES = (
    "/data/plain.bin",
    "/data/ünïcode-漢字-🦀.h5",
    '/data/quo"te\\back\nline\ttab\x01.txt',
    b"/data/inv\xff\xfealid".decode("utf-8", "surrogateescape"),
    "pipe:[4711]",
    "socket:[815]",
)
FIRST_FILE, DIRECTORY, RELATIVE, DATASET, LOST, PROGRAM, COMMAND_LINE = 1, 100, 101, 102, 999, 103, 104
NAMES = (
    *(Name(FIRST_FILE + row, NameKind.LOCATION, 0, text) for row, text in enumerate(FILES)),
    Name(RELATIVE, NameKind.PATH, DIRECTORY, "./sub//../file"),  # before its base, which comes in the same batch
    Name(DIRECTORY, NameKind.LOCATION, 0, "/home/user"),
    Name(DATASET, NameKind.STRING, 0, 'group/"temperature"'),
    Name(PROGRAM, NameKind.LOCATION, 0, "/usr/bin/dd"),
    Name(COMMAND_LINE, NameKind.COMMAND_LINE, 4711, "dd\0if=a b\0\udcff"),
)


def plan(filters: Filters = Filters()) -> Plan:  # noqa: B008 - frozen
    """The functions above, as three providers would give them."""
    kernel = Target("", "6.1.0")
    snippet = Snippet(
        name="datatype", provider="mpi", text="", fields=(Argument(0, "bytes", "long", Role.BYTES, 8, signed=True),)
    )
    return Plan(
        (),
        (
            Group("sys", "system calls", Attach.SYSCALL, kernel, FUNCTIONS[:FREAD]),
            Group("posix", "libc", Attach.UPROBE, Target("/usr/lib/libc.so.6", "ab12"), FUNCTIONS[FREAD:H5DOPEN]),
            Group("hdf5", "HDF5", Attach.UPROBE, Target("/usr/lib/libhdf5.so", "cd34"), FUNCTIONS[H5DOPEN:MPI_WRITE]),
            Group("mpi", "MPI-IO", Attach.UPROBE, Target("/usr/lib/libmpi.so", "ef56"), FUNCTIONS[MPI_WRITE:BLOCK]),
            Group("sys", "kernel", Attach.TRACEPOINT, kernel, FUNCTIONS[BLOCK:]),
        ),
        (snippet,),
        filters,
    )


@dataclass
class Recorder:
    """Makes records of one thread, one after another or nested, in the order in which they end."""

    process: int
    thread: int
    now: int
    random: np.random.Generator

    def call(self, function: int, values: tuple[int, ...] = (), *, file: int = 0, result: int = 0, **more: int) -> list:
        """One call; ``inside`` ns are left for what is nested in it."""
        start = self.now
        duration = more.get("duration", int(self.random.integers(80, 60_000)))
        flags = more.get("flags", int(CallFlag.RETURNED))
        self.now = start + duration + int(self.random.integers(1, 3000))
        padded = (*values, *[0] * (6 - len(values)))
        who = (self.process, self.thread)
        depth = more.get("depth", 0)
        return [(start, duration, *who, function, flags, depth, more.get("errno", 0), result, file, padded)]

    def nested(self, depth: int, around: int = 0) -> list:
        """fread around fread around ... around read: all begin within a microsecond, the inner ones end first."""
        start = self.now
        size = 1 + depth % 7
        if depth == 0:
            return self.call(READ, (3, 4096), file=FIRST_FILE, result=4096, depth=around)
        self.now = start + int(self.random.integers(0, 200))
        inside = self.nested(depth - 1, around + 1)
        duration = self.now - start + 50
        self.now = start
        flags = int(CallFlag.RETURNED | (CallFlag.NESTED if around else 0))
        outer = {"file": FIRST_FILE, "result": 7, "duration": duration, "depth": around, "flags": flags}
        return [*inside, *self.call(FREAD, (size, 10, 0x5555_0000), **outer)]


def records(rounds: int, seed: int = 7) -> np.ndarray:
    """Calls of three processes with two threads each, every variant in every round."""
    random = np.random.default_rng(seed)
    parts: list = []
    failed = int(CallFlag.RETURNED | CallFlag.FAILED)
    for process in (1000, 1001, 1002):
        for thread in (process, process + 50):
            recorder = Recorder(process, thread, 10**12 + 1000 * thread, random)
            for turn in range(rounds):
                file = FIRST_FILE + turn % len(FILES)
                parts += recorder.call(OPEN, (2**32 - 100, 0, 2**31 | 0o101, 0o644), file=file, result=3)
                parts += recorder.nested(turn % 4)
                parts += recorder.call(PWRITE, (3, 100 + turn, 2**40 + turn), file=file, result=100 + turn)
                parts += recorder.call(READ, (3, 2**64 - 1), file=file, result=-14, errno=14, flags=failed)
                parts += recorder.call(STAT, file=RELATIVE, result=-2, flags=failed)
                parts += recorder.call(RENAME, (0, FIRST_FILE + 1), file=file)
                parts += recorder.call(H5DOPEN, (0x300, DATASET), file=FIRST_FILE + 1, result=0x500 + turn)
                parts += recorder.call(MPI_WRITE, (0x77, 13, 0, 0, 0, 2048), file=file)
                parts += recorder.call(BLOCK, (2**63 + turn, 4096), duration=0, flags=int(CallFlag.POINT))
                parts += recorder.call(CLOSE, (2**32 - 1,), result=-1, errno=9, flags=failed)
                parts += recorder.call(READ, (4, 1), file=LOST, result=0)
            parts += recorder.call(EXIT, (1,), flags=0, duration=0)
    return np.array(parts, dtype=RECORD)


def lifecycle(kind: RecordKind, process: int, *, child: int = 0, file: int = 0) -> np.ndarray:
    """One record of a process's life."""
    record = np.zeros(1, RECORD)
    record["function"], record["process"], record["thread"], record["file"] = kind, process, process, file
    record["start"] = 10**12
    record["values"][0, 0] = child
    return record


def batches(rounds: int, size: int = 4096) -> list[Batch]:
    """The records as reads of the ring would give them, an empty one among them."""
    executed = lifecycle(RecordKind.EXEC, 1000, file=PROGRAM)
    executed["values"][0, 1] = COMMAND_LINE
    start = [
        lifecycle(RecordKind.START, 1000),
        executed,
        lifecycle(RecordKind.FORK, 1000, child=1001),
        lifecycle(RecordKind.FORK, 1000, child=1002),
    ]
    calls = np.concatenate([*start, records(rounds), lifecycle(RecordKind.EXIT, 1001)])
    pieces = [calls[begin : begin + size] for begin in range(0, len(calls), size)]
    return [Batch(np.empty(0, RECORD), NAMES), *(Batch(piece) for piece in pieces), Batch(np.empty(0, RECORD))]


def new_writer(stream: BinaryIO, made: Plan | None = None, flush_seconds: float = 1.0) -> TraceWriter:
    """A writer with this module's plan."""
    made = made or plan()
    return TraceWriter(stream, made, host="node1", epoch_offset_ns=EPOCH, user="user", flush_seconds=flush_seconds)


def finish(writer: TraceWriter, lost: dict[int, int] | None = None) -> list[FunctionCounts]:
    """Close with counts that add up; ``lost`` tells how many calls of a function the ring lost."""
    counts = []
    for function, (recorded, filtered) in enumerate(
        zip(writer.recorded.tolist(), writer.filtered.tolist(), strict=True)
    ):
        gone = (lost or {}).get(function, 0)
        counts.append(
            FunctionCounts(recorded + filtered + gone, recorded, filtered, lost={"ring_full": gone} if gone else {})
        )
    writer.close(Footer(counts, {"plan": "sha256:12", "signer": "host"}, {"names_lost": 0}))
    return counts


def written(batches: Iterable[Batch], made: Plan | None = None) -> tuple[bytes, TraceWriter]:
    """A whole trace of some batches, and its writer, which is closed."""
    stream = io.BytesIO()
    writer = new_writer(stream, made)
    for batch in batches:
        writer.write(batch)
    finish(writer)
    return stream.getvalue(), writer


@cache
def trace_bytes(rounds: int, *, close: bool = True, lost: tuple[tuple[int, int], ...] = ()) -> bytes:
    """A whole trace, or with ``close`` off one whose daemon died."""
    stream = io.BytesIO()
    writer = new_writer(stream)
    for batch in batches(rounds):
        writer.write(batch)
    writer.flush()
    if close:
        finish(writer, dict(lost))
    return stream.getvalue()


def write_trace(path: Path, rounds: int, **options: object) -> Path:
    """A whole trace in a file."""
    path.write_bytes(trace_bytes(rounds, **options))
    return path
