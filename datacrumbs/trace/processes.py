"""What the trace says of processes and threads: names before use, and their beginnings and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.record import NameKind, RecordKind
from datacrumbs.trace.command_lines import COMMAND_HASH
from datacrumbs.trace.names import metadata_line
from datacrumbs.trace.ranks import PROCESS, Rank, rank_of, starts_ranks, without_rank
from datacrumbs.trace.text import hash_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from datacrumbs.trace.names import NameTable

PROCESS_EVENT = "datacrumbs_process"
_PAST = 4096


class ProcessTable:
    """The processes and threads that are alive and already named in the trace.

    Args:
        names: Where the executables' names are found.
        host_hash: 16 hex digits, for the lines of ranks.
        epoch_offset_ns: What to add to CLOCK_MONOTONIC to get epoch time, in ns.
    """

    def __init__(self, names: NameTable, host_hash: str, epoch_offset_ns: int) -> None:
        self._names = names
        self._host_hash = host_hash
        self._offset = epoch_offset_ns
        self._labels: dict[int, str] = {}
        self._ranks: dict[int, Rank] = {}
        self._arguments: dict[int, int] = {}  # identities of command lines
        self._expected: dict[int, int] = {}  # the same of processes whose records have not come yet
        self._threads: dict[int, set[int]] = {}
        self._past: dict[int, tuple[str, Rank]] = {}

    def about(self, process: int) -> tuple[str, Rank]:
        """The name of a process and its rank, also of one that has ended, unless many have since."""
        if process in self._labels or process not in self._past:
            return self._labels.get(process, ""), self._ranks.get(process, Rank())
        return self._past[process]

    def introduce(self, pairs: Iterable[int]) -> list[str]:
        """Metadata lines for those of these processes << 32 | threads that are not named yet."""
        lines: list[str] = []
        for pair in pairs:
            lines += self._introduce(pair >> 32, pair & 0xFFFFFFFF)
        return lines

    def renew(self) -> None:
        """Begin a new file, in which no process is named yet."""
        self._threads.clear()

    def introduce_known(self, processes: NDArray[np.uint32]) -> list[str]:
        """Metadata lines for those of these processes that are alive and named, and were not introduced yet."""
        lines: list[str] = []
        for process in np.unique(processes).tolist():
            if process in self._labels and process not in self._threads:
                lines += self._introduce(process, process)
        return lines

    def add_command_line(self, process: int, identity: int) -> list[str]:
        """Metadata lines about a process, now that the name is known which its command line has.

        Where its beginning has not been taken in yet, the lines come with that.
        """
        if process in self._labels and not self._arguments.get(process):
            self._arguments[process] = identity
            return self._process_name(process)
        if process not in self._labels and len(self._expected) < _PAST:
            self._expected[process] = identity
        return []

    def lifecycle(self, records: NDArray[np.void]) -> list[str]:
        """Metadata lines for FORK, EXEC, EXIT, START and STOP records, in their order."""
        lines: list[str] = []
        for record in records:
            lines += self._event(record)
        return lines

    def _event(self, record: np.void) -> list[str]:
        process, thread = int(record["process"]), int(record["thread"])
        kind = int(record["function"])
        details: list[tuple[str, str | int]] = []
        lines: list[str] = []
        if kind == RecordKind.FORK:
            child = int(record["values"][0])
            details.append(("child", child))
            self._threads.pop(child, None)  # a reused pid is another process
            self._labels[child] = self._labels.get(process, "")
            self._inherit(process, child)
        elif kind in (RecordKind.EXEC, RecordKind.START) and int(record["file"]):
            path = self._names.text(int(record["file"]))
            details.append(("path", path))
            self._labels[process] = path.rsplit("/", 1)[-1]
            self._find_rank(process, int(record["values"][0]))
            expected = self._expected.pop(process, 0) if kind == RecordKind.START else 0
            self._arguments[process] = int(record["values"][1]) or expected
            lines += self._process_name(process)
        elif kind == RecordKind.EXIT:
            details.append(("status", int(record["result"])))
            self._remember(process)
            self._threads.pop(process, None)
            self._labels.pop(process, None)
            self._ranks.pop(process, None)
            self._arguments.pop(process, None)
        name = RecordKind(kind).name.lower() if kind in set(RecordKind) else f"kind_{kind:x}"
        microseconds = (int(record["start"]) + self._offset) // 1000
        what: list[tuple[str, str | int]] = [("event", name), ("time", microseconds), *details]
        return [*lines, metadata_line(PROCESS_EVENT, process, thread, what)]

    def _introduce(self, process: int, thread: int) -> list[str]:
        threads = self._threads.get(process)
        lines: list[str] = []
        if threads is None:
            threads = self._threads[process] = set()
            lines += self._process_name(process)
        if thread not in threads:
            threads.add(thread)
            label = self._label(process) if thread == process else f"{self._label(process)} {thread}"
            lines.append(metadata_line("thread_name", process, thread, [("name", label)]))
        return lines

    def _process_name(self, process: int) -> list[str]:
        rank = self._ranks.get(process, Rank())
        number = "" if rank.rank is None else f" (rank {rank.rank})"
        lines, command_line = self._command_line(process)
        about = [
            metadata_line(PROCESS, process, process, [("hhash", self._host_hash), ("name", name), ("value", value)])
            for name, value in [*rank.described(), *command_line]
        ]
        label = metadata_line("process_name", process, process, [("name", self._label(process) + number)])
        return [*lines, label, *about]

    # The line of its text, where that is not in the file yet, and what refers to it; nothing where it is not known.
    def _command_line(self, process: int) -> tuple[list[str], list[tuple[str, str]]]:
        identity = self._arguments.get(process, 0)
        if not identity or not self._names.text(identity):
            return [], []
        hashes, _, lines = self._names.find(np.array([identity], np.uint64), NameKind.COMMAND_LINE)
        return lines, [(COMMAND_HASH, hash_text(int(hashes[0])))]

    # A program that a rank executes without the variables is still one of that rank.
    def _find_rank(self, process: int, environment: int) -> None:
        found = rank_of(self._names.text(environment)) if environment else Rank()
        if starts_ranks(found, self._labels[process]):
            self._ranks[process] = without_rank(found)
        elif found.rank is not None or process not in self._ranks:
            self._ranks[process] = found

    def _inherit(self, process: int, child: int) -> None:
        self._ranks.pop(child, None)
        if process in self._ranks:
            self._ranks[child] = self._ranks[process]
        self._arguments[child] = self._arguments.get(process, 0)

    def _remember(self, process: int) -> None:
        self._past.pop(process, None)
        self._past[process] = self.about(process)
        if len(self._past) > _PAST:
            del self._past[next(iter(self._past))]

    def _label(self, process: int) -> str:
        return self._labels.get(process) or f"process {process}"
