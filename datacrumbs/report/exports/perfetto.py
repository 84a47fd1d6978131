"""A timeline for Perfetto: a track for each thread, and for each process one of each layer.

Written as TrackEvents (protos/perfetto/trace/track_event in Perfetto's sources), which have names of tracks and integer
nanoseconds. Moments count from the first call.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from datacrumbs.model.layers import LAYERS
from datacrumbs.output import printable
from datacrumbs.report.exports.packets import field, in_order, message, numbers, same
from datacrumbs.report.exports.trees import NANOSECONDS, THREAD, nanoseconds, processes, tour
from datacrumbs.report.nesting import from_the_top
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from datacrumbs.trace.reader import Traces

    Numbers = NDArray[np.int64]
    Bytes = NDArray[np.uint8]

PACKET = 1
TIMESTAMP, SEQUENCE, EVENT, INTERNED, FLAGS, TRACK = 8, 10, 11, 12, 13, 60
CATEGORIES, ANNOTATIONS, TYPE, NAME, TRACK_OF = 3, 4, 9, 10, 11
BEGIN, END, INSTANT = 1, 2, 3
STATE_CLEARED, NEEDS_STATE = 1, 2
INTERNED_CATEGORIES, INTERNED_NAMES, INTERNED_KEYS, INTERNED_TEXTS = 1, 2, 3, 29
KEY, UINT, INT, TEXT = 1, 3, 4, 17
RESULT, ERRNO, BYTES, FILE = 1, 2, 3, 4
KEYS = {RESULT: "ret", ERRNO: "errno", BYTES: "bytes", FILE: "file"}
FIRST_INVENTED_PID = 1 << 30
"""Numbers of processes of other nodes that have one that is taken already."""
PARTS = 2000
"""Gaps in a layer's track that are shorter than this part of the run are not drawn."""


def write(traces: Traces, calls: pl.LazyFrame, place: Path) -> None:
    """Write the timeline."""
    with place.open("wb") as stream:
        _Timeline(traces, stream).write(calls)


def write_compressed(traces: Traces, calls: pl.LazyFrame, place: Path) -> None:
    """Write the timeline, compressed: Perfetto opens that, too."""
    with gzip.open(place, "wb", compresslevel=5) as stream:
        _Timeline(traces, stream).write(calls)  # type: ignore[arg-type]


class _Words:
    # Texts that are written once, and then referred to by their numbers from 1 on.
    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._numbers: dict[str, int] = {}

    def numbers(self, texts: pl.Series, new: list[bytes]) -> Numbers:
        # Null is 0. What was not known before is appended to ``new``.
        known = texts.cast(pl.String).unique(maintain_order=True).drop_nulls()
        for text in known:
            if text not in self._numbers:
                self._numbers[text] = len(self._numbers) + 1
                new.append(field(self._kind, field(1, self._numbers[text]) + field(2, printable(text))))
        codes = texts.cast(pl.String).replace_strict(self._numbers, default=0, return_dtype=pl.Int64)
        return codes.fill_null(0).to_numpy()


class _Timeline:
    def __init__(self, traces: Traces, stream: BinaryIO) -> None:
        self._traces = traces
        self._stream = stream
        self._names, self._categories = _Words(INTERNED_NAMES), _Words(INTERNED_CATEGORIES)
        self._files = _Words(INTERNED_TEXTS)
        self._tracks = 0
        self._pids: dict[int, tuple[int, int]] = {}  # number in the timeline -> run and number there
        self._processes: dict[tuple[int, int], int] = {}  # run and number -> track

    def write(self, calls: pl.LazyFrame) -> None:
        begin, end = pl.col("ts"), pl.col("ts") + pl.col("dur")
        first, last = calls.select(begin.min(), end.max().alias("end")).collect(engine="streaming").row(0)
        keys = b"".join(field(INTERNED_KEYS, field(1, key) + field(2, name)) for key, name in KEYS.items())
        self._packet(field(FLAGS, STATE_CLEARED) + field(INTERNED, keys))
        if first is None:
            return
        for nested in processes(self._traces, calls):
            self._write_calls(nested, first)
            for process in nested.partition_by("run", "pid", maintain_order=True):
                self._write_layers(process, first, (last - first) // PARTS)

    # Packets that are made one by one: of tracks and texts.
    def _packet(self, content: bytes) -> None:
        self._stream.write(field(PACKET, field(SEQUENCE, 1) + content))

    def _write_calls(self, nested: pl.DataFrame, first: int) -> None:
        tracks = self._thread_tracks(nested)
        new: list[bytes] = []
        names = self._names.numbers(nested["name"], new)
        category = nested["category"].cast(pl.String).replace(LAYERS)
        categories, files = self._categories.numbers(category, new), self._files.numbers(nested["path"], new)
        if new:
            self._packet(field(FLAGS, NEEDS_STATE) + field(INTERNED, b"".join(new)))
        walk = tour(nested)
        begin, end = nanoseconds(nested, walk, first)
        instant = (nested["dur"].to_numpy() <= 0) & nested["ret"].is_null().to_numpy()
        kind = np.where(instant, INSTANT, BEGIN)
        parts = []
        for rows, about in _by_annotations(nested, files):
            head = [numbers(CATEGORIES, categories[rows], 2), numbers(NAME, names[rows], 4), *about]
            parts.append((walk.begin[rows], _events(begin[rows], kind[rows], tracks[rows], head)))
        rows = np.flatnonzero(~instant)
        parts.append((walk.end[rows], _events(end[rows], np.full(len(rows), END), tracks[rows], [])))
        self._stream.write(in_order(parts))

    def _thread_tracks(self, nested: pl.DataFrame) -> Numbers:
        threads = nested.select(THREAD).unique(maintain_order=True)
        found = []
        process = (-1, -1)
        for run, pid, tid in threads.iter_rows():
            if (run, pid) != process:
                process = (run, pid)
                parent, shown = self._process_track(run, pid)
            found.append(self._track(parent, f"thread {tid}", field(4, field(1, shown) + field(2, tid))))
        tracks = threads.with_columns(pl.Series("track", found, pl.Int64))
        return nested.select(THREAD).join(tracks, on=THREAD, how="left", maintain_order="left")["track"].to_numpy()

    def _process_track(self, run: int, pid: int) -> tuple[int, int]:
        shown = pid
        if self._pids.setdefault(shown, (run, pid)) != (run, pid):
            shown = FIRST_INVENTED_PID + len(self._pids)
            self._pids[shown] = (run, pid)
        name = self._traces.processes.get((run, pid), "")
        host = self._traces.files[run].host
        title = f"{host}: {name}" if len(self._traces.files) > 1 else name
        command_line = self._traces.command_lines.get((run, pid), "")
        label = field(8, printable(command_line)) if command_line else b""
        descriptor = field(3, field(1, shown) + field(6, printable(title)) + label)
        track = self._processes[run, pid] = self._track(0, title or str(pid), descriptor)
        return track, shown

    def _track(self, parent: int, name: str, more: bytes = b"") -> int:
        self._tracks += 1
        above = field(5, parent) if parent else b""
        self._packet(field(TRACK, field(1, self._tracks) + field(2, printable(name)) + above + more))
        return self._tracks

    # When the process was in calls of each layer.
    def _write_layers(self, process: pl.DataFrame, first: int, gap: int) -> None:
        parent = self._processes[process.row(0)[:2]]
        categories = process["category"].cast(pl.String)
        for category in from_the_top(set(categories)):
            calls = process.filter((categories == category) & (pl.col("dur") > 0)).sort("ts")
            if calls.is_empty():
                continue
            begin, end = _stretches(calls, gap)
            layer = LAYERS.get(category, category)
            tracks = np.full(len(begin), self._track(parent, layer))
            new: list[bytes] = []
            name = self._names.numbers(pl.Series([layer]), new)
            if new:
                self._packet(field(FLAGS, NEEDS_STATE) + field(INTERNED, b"".join(new)))
            head = [numbers(NAME, np.repeat(name, len(begin)), 4)]
            beginnings = _events((begin - first) * NANOSECONDS, np.full(len(begin), BEGIN), tracks, head)
            ends = _events((end - first) * NANOSECONDS, np.full(len(begin), END), tracks, [])
            steps = 2 * np.arange(len(begin))
            self._stream.write(in_order([(steps, beginnings), (steps + 1, ends)]))


def _events(moment: Numbers, kind: Numbers, tracks: Numbers, more: list[Bytes]) -> Bytes:
    event = message(EVENT, [numbers(TYPE, kind, 1), numbers(TRACK_OF, tracks, 5), *more])
    fixed = same(field(SEQUENCE, 1) + field(FLAGS, NEEDS_STATE), len(moment))
    return message(PACKET, [numbers(TIMESTAMP, moment, 9), fixed, event])


# Rows that have the same annotations, and these.
def _by_annotations(nested: pl.DataFrame, files: Numbers) -> Iterator[tuple[Numbers, list[Bytes]]]:
    columns = [(RESULT, INT, 10, nested["ret"]), (ERRNO, UINT, 3, nested["errno"]), (BYTES, UINT, 9, nested["bytes"])]
    known = [(key, kind, width, values.fill_null(0).to_numpy()) for key, kind, width, values in columns]
    present = np.stack([*(values.is_not_null().to_numpy() for *_, values in columns), files > 0])
    which = present.T @ (1 << np.arange(len(present)))
    for each in np.unique(which):
        rows = np.flatnonzero(which == each)
        annotations = []
        for place, (key, kind, width, values) in enumerate([*known, (FILE, TEXT, 5, files)]):
            if each >> place & 1:
                content = [same(field(KEY, key), len(rows)), numbers(kind, values[rows], width)]
                annotations.append(message(ANNOTATIONS, content))
        yield rows, annotations


# Intervals that overlap, or have no more than ``gap`` us between them, become one.
def _stretches(calls: pl.DataFrame, gap: int) -> tuple[Numbers, Numbers]:
    begin, end = calls["ts"].to_numpy(), (calls["ts"] + calls["dur"]).to_numpy()
    furthest = np.maximum.accumulate(end)
    new = np.ones(len(begin), np.bool_)
    new[1:] = begin[1:] > furthest[:-1] + gap
    last = np.append(np.flatnonzero(new)[1:] - 1, len(begin) - 1)
    return begin[new], furthest[last]
