"""Batches of records to a trace file: gzip members of DFTracer lines, a footer at the end."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError
from datacrumbs.record import FIRST_KIND, NameKind
from datacrumbs.trace.compress import MEMBER_LIMIT, MEMBER_TARGET, Compressor, default_compressor
from datacrumbs.trace.events import EventWriter
from datacrumbs.trace.footer import Footer, footer_lines, part_lines
from datacrumbs.trace.lines import Table, render
from datacrumbs.trace.names import NameTable, metadata_line, name_line
from datacrumbs.trace.notes import Note, note_line
from datacrumbs.trace.order import tie_ranks
from datacrumbs.trace.processes import ProcessTable
from datacrumbs.trace.profiles import ProfileWriter, sampled_lines
from datacrumbs.trace.shape import State, shapes, states
from datacrumbs.trace.text import hash_number, hash_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from datacrumbs.probefile.plan import Plan
    from datacrumbs.record import Batch

_OPEN, _FAILED, _CLOSED = range(3)
RUN = "datacrumbs_run"
ROWS = 16384  # lines are made for so many calls at a time: their bytes still fit the processor's cache


class TraceWriter:
    """Writes one trace.

    The head goes out at once, so that a crash right after the start leaves a readable file. After
    that a member goes out when enough has gathered, or when `tick` finds the last one too old.

    Args:
        stream: Where to; written and flushed once per gzip member, not closed.
        plan: The run's plan.
        host: Node name.
        epoch_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC, in ns.
        user: Name of the run's user.
        run_id: The run's id: the files of a run that goes on in several ones are known by it.
        flush_seconds: A member is closed at least this often.
        compressor: Makes the members.
    """

    def __init__(
        self,
        stream: BinaryIO,
        plan: Plan,
        *,
        host: str,
        epoch_offset_ns: int,
        user: str,
        run_id: str = "",
        flush_seconds: float,
        compressor: Compressor | None = None,
    ) -> None:
        self._plan = plan
        self._functions = plan.functions
        self._shapes = shapes(plan)
        self._compressor = compressor or default_compressor()
        self._flush_seconds = flush_seconds
        number = hash_number(host)
        host_hash = hash_text(number)
        self._names = NameTable(host_hash, plan.filters.inclusion_path)
        self._epoch_offset_ns = epoch_offset_ns
        self._filtering = bool(plan.filters.inclusion_path)
        self._events = EventWriter(self._names, host_hash, epoch_offset_ns)
        self._processes = ProcessTable(self._names, epoch_offset_ns)
        self.profiles = ProfileWriter(self._names, plan, epoch_offset_ns)
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._next_id = 0
        self._part = -1
        self._flushed = time.monotonic()
        self._state = _OPEN
        self._error: OSError | None = None
        functions = len(self._shapes)
        self._written: NDArray[np.int64] = np.zeros(functions, dtype=np.int64)
        self._waiting: NDArray[np.int64] = np.zeros(functions, dtype=np.int64)
        self.filtered: NDArray[np.int64] = np.zeros(functions, dtype=np.int64)
        """Per function: calls that the inclusion path left out."""
        self.unwritten: NDArray[np.int64] = np.zeros(functions, dtype=np.int64)
        """Per function: calls that are not in the file because writing it failed."""
        self._about: list[tuple[str, str | int]] = [
            ("user", user),
            ("version", __version__),
            ("inclusion_path", plan.filters.inclusion_path),
        ]
        self._about += [("run_id", run_id)]
        self._host_line = name_line("HH", host_hash, host, number)
        self._begin(stream)
        self._raise_once()

    @property
    def recorded(self) -> NDArray[np.int64]:
        """Per function: calls whose lines are in the file or wait for the next flush."""
        return self._written + self._waiting

    @property
    def names_unresolved(self) -> int:
        """How many names calls referred to that never came."""
        return self._names.unresolved

    def write(self, batch: Batch) -> None:
        """Take a batch in; its lines are in the file after the next flush.

        Lines of one batch stand grouped by function, not in time's order: groups render and compress
        better, and readers ask for no order but that of `tie_ranks`.

        Raises:
            DatacrumbsError: Writing failed (a full disk). Once: later calls only count `unwritten`.
        """
        self._take_text(self._names.add(batch.names))
        calls = batch.calls
        special = np.flatnonzero(calls["function"] >= FIRST_KIND)
        before = 0
        for position in special.tolist():
            self._write_calls(calls[before:position])
            self._take_text(self._processes.lifecycle(calls[position : position + 1]))
            before = position + 1
        self._write_calls(calls[before:])
        self._raise_once()

    def note(self, *notes: Note) -> None:
        """Take notes in: what a reader must know of an interval, such as losses.

        Raises:
            DatacrumbsError: Writing failed.
        """
        self._take_text(note_line(note, self._functions, self._epoch_offset_ns) for note in notes)
        self._raise_once()

    @property
    def size(self) -> int:
        """Bytes of the file so far, without what waits for the next flush."""
        return self._end

    def continue_in(self, stream: BinaryIO, provenance: Mapping[str, str]) -> BinaryIO:
        """Finish this file, and go on in another one, in which all stands that a reader of it needs.

        Args:
            stream: Of the new file.
            provenance: As in `Footer`.

        Returns:
            The stream of the finished file, which stays open.

        Raises:
            DatacrumbsError: Writing failed. Nothing more is written, to neither file.
        """
        finished = self._stream
        if self._state == _OPEN:
            lines, profiles = self._next_id - self._first_id, self.profiles.written
            self._take_text(part_lines(provenance, self._part, lines, profiles))
            self._take_text(["]\n"])
            self._flush()
            self._names.renew()
            self._processes.renew()
            if self._state == _OPEN:
                self._begin(stream)
        self._raise_once()
        return finished

    def write_profiles(self, profiles: NDArray[np.void]) -> None:
        """Take record.PROFILE rows in; the names that they refer to must have been written.

        A note says when a function was degraded to counting.

        Raises:
            DatacrumbsError: Writing failed.
        """
        self._take_text(self._processes.introduce_known(profiles["process"]))
        self._take_text(self.profiles.lines(profiles))
        self.note(*self.profiles.notes(profiles))

    def tick(self) -> None:
        """Close the member if the last one is older than ``flush_seconds``."""
        if time.monotonic() - self._flushed >= self._flush_seconds:
            self.flush()

    def close(self, footer: Footer) -> None:
        """Write the footer and the last line. The stream stays open."""
        if self._state != _OPEN:
            return
        other = {**footer.other, "names_unresolved": self._names.unresolved, "lines": self._next_id - self._first_id}
        other["part"] = self._part
        other["profiles"] = self.profiles.written
        self._take_text(footer_lines(Footer(footer.counts, footer.provenance, other), self._plan))
        self._take_text(["]\n"])
        self.flush()
        self._state = _CLOSED

    def _begin(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._seekable = stream.seekable()
        self._start = stream.tell() if self._seekable else 0
        self._end = 0
        self._part += 1
        self._first_id = self._next_id
        self.profiles.written = 0
        self._take_text(["[\n", self._host_line, metadata_line(RUN, 0, 0, [*self._about, ("part", self._part)])])
        self._take_text(sampled_lines(self._plan))
        self._flush()

    def _write_calls(self, calls: NDArray[np.void]) -> None:
        for start in range(0, len(calls), ROWS):
            self._write_slice(calls[start : start + ROWS])

    def _write_slice(self, calls: NDArray[np.void]) -> None:
        distinct, index = np.unique(calls["file"], return_inverse=True)
        files, lines, included = self._events.fragments("fhash", NameKind.LOCATION, distinct, index)
        self._take_text(lines)
        if self._filtering:
            keep = included[index]
            self.filtered += np.bincount(calls["function"][~keep], minlength=len(self.filtered))
            calls, files = calls[keep], Table(files.entries, index[keep])
            if not len(calls):
                return
        self._take_text(self._processes.introduce(calls))
        keys = calls["function"].astype(np.uint64) * np.uint64(len(State)) + states(calls["flags"])
        keys |= tie_ranks(calls, self._epoch_offset_ns).astype(np.uint64) << np.uint64(32)
        order = np.argsort(keys, kind="stable")
        calls = calls.take(order)
        index = files.index[order]
        keys = keys[order]
        bounds = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(keys)]
        for start, end in pairwise(bounds):
            self._write_variant(int(keys[start]) & 0xFFFFFFFF, calls[start:end], Table(files.entries, index[start:end]))

    def _write_variant(self, key: int, calls: NDArray[np.void], files: Table) -> None:
        function, state = divmod(key, len(State))
        pieces, lines = self._events.pieces(self._shapes[function], State(state), calls, self._next_id, files)
        self._take_text(lines)
        self._next_id += len(calls)
        self._waiting[function] += len(calls)
        self._take(render(pieces, len(calls)))

    def _take_text(self, lines: Iterable[str]) -> None:
        text = "".join(lines)
        if text:
            self._take(text.encode("ascii"))

    def _take(self, text: bytes) -> None:
        self._pending.append(text)
        self._pending_size += len(text)
        if self._pending_size >= MEMBER_TARGET:
            self._flush()

    def flush(self) -> None:
        """Close the gzip member and hand it to the stream.

        Raises:
            DatacrumbsError: Writing failed. The file then ends with its last whole member.
        """
        self._flush()
        self._raise_once()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if not self._pending:
            return
        text = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        try:
            for part in cut(text) if self._state == _OPEN else ():
                self._put(self._compressor.member(part))
        except OSError as error:
            self._fail(error)
        waiting = self._written if self._state == _OPEN else self.unwritten
        waiting += self._waiting
        self._waiting[:] = 0

    def _put(self, member: bytes) -> None:
        rest = memoryview(member)
        while rest:  # an unbuffered stream may take a part only
            rest = rest[self._stream.write(rest) :]
        self._stream.flush()
        self._end += len(member)

    def _fail(self, error: OSError) -> None:
        # Raised only when the whole batch is counted, or the counts would not add up.
        self._state = _FAILED
        self._error = error
        if self._seekable:
            with suppress(OSError):  # what stands before the torn member is readable all the same
                self._stream.truncate(self._start + self._end)

    def _raise_once(self) -> None:
        error, self._error = self._error, None
        if error:
            raise DatacrumbsError(
                f"the trace cannot be written: {error.strerror or error}",
                hint="make room where the traces go; what is in the file so far is readable",
            ) from error


def cut(text: bytes) -> Iterable[bytes]:
    """Parts of ``text`` of at most MEMBER_LIMIT bytes, each ending at a line's end."""
    start = 0
    parts = -(-len(text) // MEMBER_LIMIT)
    while parts > 1:
        # Of equal size, so that no small rest becomes a member.
        end = text.rfind(b"\n", start, start + -(-(len(text) - start) // parts)) + 1
        if end <= start:  # one line longer than a part: names end at the kernel's path limit, so never seen
            end = text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end
        parts = max(-(-(len(text) - start) // MEMBER_LIMIT), parts - 1)
    if start < len(text):
        yield text[start:]
