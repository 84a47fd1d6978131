"""Batches of records to a trace file: gzip members of DFTracer lines, a footer at the end."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.contract import CHUNK, FIRST_KIND, MEMBER_TARGET, TEXT_LIMIT, MissingKind, NameKind
from datacrumbs.model.record import Name
from datacrumbs.trace.clocks import Clock, clock_line
from datacrumbs.trace.footer import LOSSES, Footer, footer_lines, part_lines
from datacrumbs.trace.line_shape import Shapes
from datacrumbs.trace.lines import Lines
from datacrumbs.trace.member_file import MemberFile
from datacrumbs.trace.mounts import MOUNT, mount_fields
from datacrumbs.trace.names import RUN, NameTable, metadata_line, name_line
from datacrumbs.trace.notes import LOST, NAMES_FULL, Note, note_line
from datacrumbs.trace.processes import ProcessTable
from datacrumbs.trace.profiles import ProfileWriter, sampled_lines
from datacrumbs.trace.snapshot import Snapshots, Standing
from datacrumbs.trace.sums import sums_lines
from datacrumbs.trace.templates import templates
from datacrumbs.trace.text import hash_number, hash_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from datacrumbs.model.plan import Plan
    from datacrumbs.model.record import Batch
    from datacrumbs.trace.mounts import Mount

_OPEN, _FAILED, _CLOSED = range(3)
_MEGABYTE = 1_000_000


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
        redact_paths: Patterns of paths that are written in hidden form only.
        max_megabytes: Size of all files together from which on calls are lost (`beyond_size`), or 0 for no limit.
            What is rendered already is still written: at most two members, then the footer.
        names_mib: How much memory names may take, or 0 for no limit; what comes beyond is `names_dropped`.
        mounts: Mount point -> its file system.
        clock: Reads the node's clocks; None where they are not to be in the trace.
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
        redact_paths: Sequence[str] = (),
        max_megabytes: float = 0,
        names_mib: int = 0,
        mounts: Mapping[str, Mount] | None = None,
        clock: Callable[[], Clock] | None = None,
    ) -> None:
        self._plan = plan
        self._functions = plan.functions
        self._shapes = Shapes(plan)
        self._flush_seconds = flush_seconds
        number = hash_number(host)
        self._host_hash = host_hash = hash_text(number)
        self._names = NameTable(host_hash, plan.filters.inclusion_path, redact_paths, names_mib << 20)
        self._epoch_offset_ns = epoch_offset_ns
        self._lines = Lines(len(self._shapes), epoch_offset_ns, filtering=bool(plan.filters.inclusion_path))
        self._processes = ProcessTable(self._names, host_hash, epoch_offset_ns)
        self.profiles = ProfileWriter(self._names, plan, epoch_offset_ns, self._lines.add_to_tally)
        self._part = -1
        self._flushed = time.monotonic()
        self._state = _OPEN
        self._given_up = False
        self._room = max_megabytes * _MEGABYTE or float("inf")
        self._error: OSError | None = None
        functions = len(self._shapes)
        self._written: NDArray[np.int64] = np.zeros(functions, dtype=np.int64)
        self._waiting = self._lines.written
        self.filtered = self._lines.filtered
        """Per function: calls that the inclusion path left out."""
        self.lost = {cause: np.zeros(functions, dtype=np.int64) for cause in LOSSES}
        """Per cause and function: calls that are not in the file."""
        self._about: list[tuple[str, str | int]] = [
            ("user", user),
            ("version", __version__),
            ("inclusion_path", plan.filters.inclusion_path),
        ]
        self._about += [("run_id", run_id), ("redacted", "yes" if redact_paths else ""), ("depth", 1)]
        self._mounts = dict(mounts or {})
        self._clock = clock
        self._last_clock: Clock | None = None
        self._host_line = name_line("HH", host_hash, host, number)
        shown = {"run": run_id, "user": user, "host": host}
        self._snapshots = Snapshots(plan, shown, self._names, self._processes, self._lines, epoch_offset_ns)
        self._told_lost = 0
        self._begin(stream)
        self._raise_once()

    @property
    def recorded(self) -> NDArray[np.int64]:
        """Per function: calls whose lines are in the file or wait for the next flush."""
        return self._written + self._waiting

    def write(self, batch: Batch) -> None:
        """Take a batch in; its lines are in the file after the next flush.

        Lines of one batch are grouped by function, not in time's order: groups render and compress
        better, and readers ask for no order but that of an outer call before an inner one of the same microsecond.

        Raises:
            DatacrumbsError: Writing failed (a full disk). Once: later calls only count as lost.
        """
        calls = batch.calls
        if self._given_up:
            own = calls["function"][calls["function"] < FIRST_KIND]
            self.lost["unfinished"] += np.bincount(own, minlength=len(self._functions))
            return
        self._take_names(batch.names)
        special = np.flatnonzero(calls["function"] >= FIRST_KIND)
        before = 0
        for position in special.tolist():
            self._write_calls(calls[before:position])
            self._take_text(self._processes.lifecycle(calls[position : position + 1]))
            self._lines.forget_processes()
            before = position + 1
        self._write_calls(calls[before:])
        self._raise_once()

    def _take_names(self, names: Sequence[Name]) -> None:
        before = self._names.dropped
        self._take_text(self._names.add(names))
        if self._names.dropped and not before:
            now = time.monotonic_ns()
            self._take_text([note_line(Note(NAMES_FULL, now, now), self._functions, self._epoch_offset_ns)])

    def give_up(self) -> None:
        """From now on only count, as lost, what would have been written: there is no time for more than a footer."""
        self._given_up = True

    def note(self, *notes: Note) -> None:
        """Take notes in: what a reader must know of an interval, such as losses.

        Raises:
            DatacrumbsError: Writing failed.
        """
        self._told_lost += sum(int(note.details["calls"]) for note in notes if note.event == LOST)
        shown = (self._shown_note(note) for note in notes)
        self._take_text(note_line(note, self._functions, self._epoch_offset_ns) for note in shown)
        self._raise_once()

    @property
    def full(self) -> bool:
        """Whether the files are as large as they may be."""
        return self._room <= 0

    def _shown_note(self, note: Note) -> Note:
        path = note.details.get("file")
        if not isinstance(path, str):
            return note
        return replace(note, details={**note.details, "file": self._names.shown_path(path)})

    @property
    def size(self) -> int:
        """Bytes of the file so far, without what waits for the next flush."""
        return self._file.size

    def continue_in(self, stream: BinaryIO, provenance: Mapping[str, str]) -> BinaryIO:
        """Finish this file, and go on in another one, which has everything that a reader of it needs.

        Args:
            stream: Of the new file.
            provenance: As in `Footer`.

        Returns:
            The stream that is not written any more, and stays open: of the finished file, or, after writing failed
            before, of the new one.

        Raises:
            DatacrumbsError: Writing failed. Nothing more is written, to neither file.
        """
        if self._state != _OPEN:
            return stream
        finished = self._file.stream
        lines, profiles = self._lines.count - self._first_id, self.profiles.written
        self._read_clock("end")
        self._take_text(part_lines(provenance, self._part, lines, profiles))
        self._take_text(["]\n"])
        self._flush()
        self._names.renew()
        self._processes.renew()
        self._lines.renew()
        if self._state == _OPEN:
            self._begin(stream)
        self._raise_once()
        return finished

    def snapshot(self, state: str) -> bytes:
        """What was taken in so far, as a line of JSON (`datacrumbs.trace.snapshot`)."""
        lost = self._told_lost + sum(int(calls.sum()) for calls in self.lost.values())
        return self._snapshots.document(Standing(state, int(self.recorded.sum()), lost))

    def write_profiles(self, profiles: NDArray[np.void]) -> None:
        """Take record.PROFILE rows in; the names that they refer to must have been written.

        A note says when a function was degraded to counting.

        Raises:
            DatacrumbsError: Writing failed.
        """
        if self._given_up:
            self.profiles.lose(profiles)
            return
        self._take_text(self._processes.introduce_known(profiles["process"]))
        self._take_text(self.profiles.lines(profiles))
        self.note(*self.profiles.notes(profiles))

    def add_arguments(self, process: int, beginning: bytes, whole: int) -> None:
        """Take in the arguments of a process that was executed before it was traced.

        Args:
            process: Which is traced by now; its records may still be in the rings.
            beginning: Each with a zero behind it, as far as they are kept.
            whole: Bytes of all of them.

        Raises:
            DatacrumbsError: Writing failed.
        """
        text = beginning.decode("utf-8", "surrogateescape")
        name = Name(hash_number(f"{whole} {text}"), NameKind.COMMAND_LINE, whole, text)
        self._take_names([name])
        self._take_text(self._processes.add_command_line(process, name.identity))
        self._raise_once()

    def tick(self) -> None:
        """Close the member if the last one is older than ``flush_seconds``."""
        last = self._last_clock
        if last and time.monotonic_ns() - last.monotonic_ns >= self._flush_seconds * 1e9:
            self._read_clock()
        if time.monotonic() - self._flushed >= self._flush_seconds:
            self.flush()

    def close(self, footer: Footer) -> None:
        """Write the footer and the last line. The stream stays open.

        Also after writing failed: cutting off the torn member mostly gave back the room that a footer needs.

        Raises:
            DatacrumbsError: Writing failed.
        """
        if self._state == _CLOSED:
            return
        self._flush()
        lines, profiles = self._lines.count - self._first_id, self.profiles.written
        if self._state == _FAILED:
            if not self._file.cut_back():
                self._state = _CLOSED  # a footer behind a torn member could not be read
                return
            lines, profiles = lines - int(self.lost["unwritten"].sum()), self._profiles_written
            self._state = _OPEN
        self._read_clock("end")
        other = {**footer.other, "names_unresolved": self._names.unresolved, "lines": lines}
        other["names_dropped"] = self._names.dropped
        other["part"] = self._part
        other["profiles"] = profiles
        self._take_text(sums_lines(self._plan, self._lines.sums))
        self._take_text(footer_lines(Footer(footer.counts, footer.provenance, other), self._plan))
        self._take_text(["]\n"])
        self.flush()
        self._state = _CLOSED

    def _begin(self, stream: BinaryIO) -> None:
        self._file = MemberFile(stream)
        self._part += 1
        self._first_id = self._lines.count
        self.profiles.written = self._profiles_written = 0
        self._take_text(["[\n", self._host_line, metadata_line(RUN, 0, 0, [*self._about, ("part", self._part)])])
        self._take_text(
            metadata_line(MOUNT, 0, 0, [("point", self._names.shown_path(point)), *mount_fields(mount)])
            for point, mount in self._mounts.items()
        )
        self._take_text(sampled_lines(self._plan))
        self._read_clock("begin")
        self._flush()

    # When the wall clock is set, its readings before and after say when that was, and by how much.
    def _read_clock(self, at: str = "") -> None:
        if not self._clock:
            return
        before, now = self._last_clock, self._clock()
        self._last_clock = now
        readings = [(now, at)] if at else []
        if before and now.is_set_since(before):
            readings = [(before, "before"), (now, at or "after")]
        self._take_text(clock_line(reading, at, self._epoch_offset_ns) for reading, at in readings)

    def _write_calls(self, calls: NDArray[np.void]) -> None:
        for start in range(0, len(calls), CHUNK):
            part = np.ascontiguousarray(calls[start : start + CHUNK])
            if self.full:
                self.lost["beyond_size"] += np.bincount(part["function"], minlength=len(self._functions))
                continue
            while len(missing := self._lines.missing(part)):
                self._tell(missing)
            self._lines.take(part)
            while not self._lines.render():
                self._flush()

    # Names, processes and threads are in the file before the first call that refers to them.
    def _tell(self, missing: NDArray[np.void]) -> None:
        for kind in np.unique(missing["kind"]).tolist():
            identities = np.unique(missing["identity"][missing["kind"] == kind])
            if kind == MissingKind.FUNCTION:
                for number in identities.tolist():
                    self._lines.function(number, templates(self._shapes[number], self._host_hash))
            elif kind == MissingKind.PAIR:
                self._take_text(self._processes.introduce(identities.tolist()))
            else:
                hashes, included, lines = self._names.find(identities, NameKind(kind))
                self._take_text(lines)
                for row in zip(identities.tolist(), hashes.tolist(), included.tolist(), strict=True):
                    self._lines.name(row[0], row[1], included=row[2])

    def _take_text(self, lines: Iterable[str]) -> None:
        for part in cut("".join(lines).encode("ascii")):
            while not self._lines.text(part):
                self._flush()
        if self._lines.size >= MEMBER_TARGET:
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
        if not self._lines.size:
            return
        member = self._lines.member()
        try:
            if self._state == _OPEN:
                self._file.put(member)
                self._room -= len(member)
        except OSError as error:
            # Raised only when the whole batch is counted, or the counts would not add up.
            self._state, self._error = _FAILED, error
            self._file.cut_back()
        if self._state == _OPEN:
            self._profiles_written = self.profiles.written
        waiting = self._written if self._state == _OPEN else self.lost["unwritten"]
        waiting += self._waiting
        self._waiting[:] = 0

    def _raise_once(self) -> None:
        error, self._error = self._error, None
        if error:
            raise DatacrumbsError(
                f"the trace cannot be written: {error.strerror or error}",
                hint="free space where the traces go; what has been written is readable",
            ) from error


def cut(text: bytes) -> Iterator[bytes]:
    """Parts of ``text`` of at most TEXT_LIMIT bytes, each ending at a line's end."""
    start = 0
    while len(text) - start > TEXT_LIMIT:
        end = text.rfind(b"\n", start, start + TEXT_LIMIT) + 1
        if end <= start:  # never seen: names end at the kernel's path limit
            raise ValueError(f"a line of more than {TEXT_LIMIT} bytes")
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
