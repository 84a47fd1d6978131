"""Traces to columns: ours and DFTracer's, whole or cut short, many at once."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.errors import usage_error
from datacrumbs.output import counted
from datacrumbs.trace.call_store import SPILL_ROWS, CallStore
from datacrumbs.trace.clocks import CLOCK, read_clock_line
from datacrumbs.trace.columns import DETAILS, WORD, Readers
from datacrumbs.trace.command_lines import COMMAND_HASH
from datacrumbs.trace.corrections import ClockReading, Correction, corrected_calls, corrected_profiles, correction
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.footer import COUNTS, FOOTER, PROVENANCE
from datacrumbs.trace.json_lines import DETAILED, SCHEMA, call_columns, parse_lines, settled
from datacrumbs.trace.line_checks import check_form
from datacrumbs.trace.members import TraceText
from datacrumbs.trace.mounts import MOST_MOUNTS, MOUNT, Mount, read_mount
from datacrumbs.trace.notes import NOTE
from datacrumbs.trace.processes import PROCESS_EVENT
from datacrumbs.trace.profiles import PROFILE, SAMPLED, read_profile, read_sampled
from datacrumbs.trace.ranks import PROCESS, Rank, read_rank
from datacrumbs.trace.sums import SUMS, TimeSums, read_sums
from datacrumbs.trace.text import restore
from datacrumbs.trace.writer import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from datacrumbs.trace.columns import CallPart

SUFFIX = ".pfw.gz"
OTHERS_SIZE = 1 << 20
"""Bytes of lines that are no calls, which are looked at together."""
NO_CODE = (1 << 32) - 1
NUMBER, TEXT = pl.Int64, pl.String
__all__ = ["DETAILS", "SUFFIX", "TraceFile", "Traces", "find_traces", "iterate_lines", "read_traces", "run_key"]
PROFILES: dict[str, Any] = {"trace": pl.UInt32, "pid": NUMBER, "category": TEXT, "name": TEXT, "symbol": TEXT}
PROFILES |= {
    "provider": TEXT,
    "cause": TEXT,
    "fhash": TEXT,
    "begin": NUMBER,
    "end": NUMBER,
    "count": NUMBER,
    "errors": NUMBER,
}
PROFILES |= {"bytes": NUMBER, "time_ns": NUMBER, "shortest_ns": NUMBER, "longest_ns": NUMBER, "times": TEXT}
PROFILES |= {"sizes": TEXT}
OUR_LINE = re.compile(rb'^\{"name":"datacrumbs_[^\n]*', re.MULTILINE)


@dataclass(slots=True)
class TraceFile:
    """One file, and whether all of the run is in it.

    Attributes:
        path: Where it is.
        host: Node name, or empty.
        run: What the head says: user, version, inclusion_path, run_id, part; empty for a trace that is not ours.
        counts: Conservation counts per function, from the footer.
        provenance: From the footer.
        footer: Totals of the footer; None when there is none.
        lines: Calls read.
        skipped: Lines that no parser takes.
        damage: What is wrong with the file, or empty.
        closed: Whether the last line is there.
        events: Process lifecycle, in order.
        notes: What happened in intervals, such as losses.
        sampled: (category, name, symbol) -> one of how many calls is in the trace, where not all are.
        mounts: Mount point -> its file system, see `node_mounts`.
        clocks: Readings of the node's clocks.
        correction: What was added to the times of its calls and profiles, by those readings.
        sums: (category, name, nested), and the durations of these calls in nanoseconds, of the whole run.
        profiles: Lines read that have calls added up.
        absent: Which other files of the same run are missing, or empty.
        behind: Whether bytes that are no part of the trace follow its last line.
        live: Whether some process has the file open for writing.
    """

    path: Path
    host: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    counts: list[dict[str, Any]] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)
    footer: dict[str, int] | None = None
    lines: int = 0
    skipped: int = 0
    damage: str = ""
    closed: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    sampled: dict[tuple[str, str, str], int] = field(default_factory=dict)
    sums: list[tuple[tuple[str, str, bool], TimeSums]] = field(default_factory=list)
    mounts: dict[str, Mount] = field(default_factory=dict)
    clocks: list[ClockReading] = field(default_factory=list)
    correction: Correction = field(default_factory=Correction)
    profiles: int = 0
    absent: str = ""
    behind: bool = False
    live: bool = False

    @property
    def complete(self) -> bool:
        """True only when nothing hints at anything missing."""
        return not self.shortcoming

    @property
    def shortcoming(self) -> str:
        """Why the trace is not known to be complete; empty when it is."""
        wrong = self._wrong_with_the_file()
        if wrong:
            return wrong
        if self.footer is None:
            if self.run or not self.closed:
                return "cut short: no footer"
            return "not a DataCrumbs trace: it does not say whether calls are missing"
        if not self.closed:
            return "cut short: no last line"
        read = {"lines": (self.lines, "calls"), "profiles": (self.profiles, "profiles")}
        differing = [
            f"damaged: {found} of {self.footer[key]} {what} are in the file"
            for key, (found, what) in read.items()
            if self.footer.get(key, found) != found
        ]
        return next(iter(differing), self.absent or _not_probed(self.footer))

    def _wrong_with_the_file(self) -> str:
        if self.live and not self.closed:
            return "not finished: the run is still going on"
        if self.behind:
            return "damaged: bytes that are no part of it follow its end"
        if self.damage:
            return f"cut short: {self.damage}"
        return f"damaged: {counted(self.skipped, 'line')} cannot be read" if self.skipped else ""


# The file is whole, but a library that was asked for is not in it.
def _not_probed(footer: dict[str, int]) -> str:
    libraries, files = (footer.get(key, 0) for key in ("files_not_probed", "mappings_lost"))
    if libraries:
        them = ("library of the selected providers was", "libraries of the selected providers were")
        return f"{counted(libraries, *them)} not probed"
    return f"{counted(files, 'mapped file was', 'mapped files were')} not looked at" if files else ""


@dataclass
class Traces:
    """What was read.

    Attributes:
        files: One per trace.
        calls: Lazy columns: trace (u32, position in ``files``), order (i64, the position among all lines), category,
            name, symbol (null where it is the name), pid, tid, ts (epoch us), dur (us), ret, errno (null unless
            failed), bytes (null when unknown), fhash, to_hash, depth (in how many calls of its thread it was made; null
            where the trace does not say), end (epoch us), path (null when none), target;
            those of `DETAILS` where they were asked for.
        profiles: Calls that were added up, columns of PROFILES, and path (null when none).
        paths: The name of each file, columns fhash and path.
        copies: Calls that name a second file.
        processes: (trace, pid) -> last known process name.
        ranks: (trace, pid) -> which rank of which job the process is, where that is known.
        command_lines: (trace, pid) -> that of the last program that the process executed, where it is known, quoted as
            for a shell; with surrogateescape.
        raw_paths: hash -> text with surrogateescape, for names that are not valid UTF-8.
        spill: Directory of temporary files, removed with this object.
        several_nodes: Whether there are traces of other nodes beside these, see `datacrumbs.report.node_files.by_node`.
    """

    files: list[TraceFile]
    calls: pl.LazyFrame
    processes: dict[tuple[int, int], str]
    raw_paths: dict[str, str]
    profiles: pl.DataFrame
    paths: pl.DataFrame
    copies: int = 0
    spill: Path | None = None
    ranks: dict[tuple[int, int], Rank] = field(default_factory=dict)
    command_lines: dict[tuple[int, int], str] = field(default_factory=dict)
    several_nodes: bool = False

    def __post_init__(self) -> None:
        if self.spill:
            weakref.finalize(self, shutil.rmtree, self.spill, ignore_errors=True)


def find_traces(arguments: Sequence[str | Path]) -> list[Path]:
    """Trace files from files and from directories with all that is below them, each file once.

    Empty files of a directory are passed over: they are of runs, or parts of them, that never began.

    Raises:
        DatacrumbsError: (exit 2) when one does not exist, or a directory cannot be listed or has no trace.
    """
    found: dict[tuple[int, int], Path] = {}
    for path in map(Path, arguments):
        try:
            inside = _below(path) if path.is_dir() else [path]
            if not inside:
                raise usage_error(f"{path}: no trace in this directory or below it; expected files *{SUFFIX}")
            for file in inside:
                status = file.stat()
                found.setdefault((status.st_dev, status.st_ino), file)
        except OSError as error:
            doing = "cannot be listed: " if os.path.isdir(path) else ""  # noqa: PTH112 - raises nothing
            raise usage_error(f"{error.filename or path}: {doing}{error.strerror}") from None
    return list(found.values())


def _below(directory: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    files = [Path(place, name) for place, _, names in os.walk(directory, onerror=refuse) for name in names]
    return sorted(file for file in files if file.name.endswith(SUFFIX) and file.is_file() and file.stat().st_size)


def read_traces(
    paths: Sequence[Path],
    spill_rows: int = SPILL_ROWS,
    *,
    details: bool = False,
    passed: Callable[[int], object] = lambda _: None,
) -> Traces:
    """Read whole traces.

    Args:
        paths: Trace files.
        spill_rows: How many calls may stay in memory.
        details: Whether the calls have the columns of `DETAILS`, too (null where a call has no such argument).
        passed: Called with how many more bytes of the files have been read.

    Raises:
        DatacrumbsError: (exit 2) when a file is missing, empty, not gzip or something else than a trace.
    """
    gathering = _Gathering(spill_rows, details=details, passed=passed)
    try:
        files = [gathering.read(position, path) for position, path in enumerate(paths)]
    except BaseException:
        gathering.store.remove()
        raise
    _look_for_parts(files)
    _correct(files)
    names, store = gathering.paths(), gathering.store
    calls, profiles = store.calls(_Paths(names)), gathering.profiles(names)
    corrections = {position: file.correction for position, file in enumerate(files)}
    calls, profiles = corrected_calls(calls, corrections), corrected_profiles(profiles, corrections)
    return Traces(
        files,
        calls,
        gathering.processes,
        gathering.raw_paths,
        profiles,
        names,
        store.copies,
        store.spill,
        gathering.ranks(),
        gathering.command_lines(),
    )


# Numbers of a line that no kernel gives: sums of them would be beyond all numbers.
_LAST_MOMENT, _LAST_PROCESS = 1 << 53, (1 << 32) - 1
_PLAUSIBLE = pl.all_horizontal(
    *(pl.col(name).is_between(0, _LAST_MOMENT) for name in ("ts", "dur")),
    *(pl.col(name).is_between(0, _LAST_PROCESS) for name in ("pid", "tid")),
)


class _Gathering:
    def __init__(self, spill_rows: int, *, details: bool, passed: Callable[[int], object]) -> None:
        self._passed = passed
        self.store = CallStore(spill_rows, details=details)
        self._readers = Readers(details=details)
        self._schema = DETAILED if details else SCHEMA
        self._waiting: list[bytes] = []  # lines that are no calls, to be looked at together
        self._paths: list[pl.DataFrame] = []
        self._profiles: list[dict[str, Any]] = []
        self.processes: dict[tuple[int, int], str] = {}
        self.raw_paths: dict[str, str] = {}
        self._about: dict[tuple[int, int], dict[str, str]] = {}
        self._strings: list[pl.DataFrame] = []

    def read(self, position: int, path: Path) -> TraceFile:
        trace = TraceFile(path)
        text = TraceText(path, self._passed)
        last = b""
        for part in text.worked(self._readers.part):
            last = part.end
            self._part(position, trace, part)
        self._others(position, trace)
        if text.start not in {b"", b"["} and not (trace.lines or trace.run or trace.host):
            raise usage_error(f"{path}: contains no trace line; expected a trace ({SUFFIX})")
        trace.closed = last.rstrip(b"\n").rpartition(b"\n")[2] == b"]"
        trace.behind = trace.closed and text.behind
        trace.damage = text.damage or ("damaged: no gzip member follows" if text.behind else "")
        trace.live = not trace.closed and _is_written(path)
        return trace

    def paths(self) -> pl.DataFrame:
        empty = pl.DataFrame(schema={"fhash": WORD, "path": TEXT})
        return pl.concat([empty, *self._paths]).drop_nulls().unique("fhash", keep="first")

    def profiles(self, paths: pl.DataFrame) -> pl.DataFrame:
        paths = paths.with_columns(pl.col("fhash").cast(TEXT))
        return pl.DataFrame(self._profiles, PROFILES).join(paths, on="fhash", how="left")

    def ranks(self) -> dict[tuple[int, int], Rank]:
        ranks = {process: read_rank(about) for process, about in self._about.items()}
        return {process: rank for process, rank in ranks.items() if rank != Rank()}

    def command_lines(self) -> dict[tuple[int, int], str]:
        hashes = {process: about[COMMAND_HASH] for process, about in self._about.items() if about.get(COMMAND_HASH)}
        wanted = pl.Series(list(set(hashes.values())), dtype=TEXT)
        empty = pl.DataFrame(schema={"value": TEXT, "text": TEXT, "raw": TEXT})
        texts = pl.concat([empty, *self._strings]).filter(pl.col("value").is_in(wanted.implode()))
        known = {value: _restored(text, raw) for value, text, raw in texts.iter_rows()}
        return {process: known[value] for process, value in hashes.items() if value in known}

    def _part(self, position: int, trace: TraceFile, part: CallPart) -> None:
        calls = part.calls
        if part.text:
            self._waiting.append(part.text)
        if calls is None or not trace.run or sum(map(len, self._waiting)) > OTHERS_SIZE:
            found = self._others(position, trace)
            calls = found if calls is None else calls
        if not calls.select(_PLAUSIBLE.all()).item():
            plausible = calls.filter(_PLAUSIBLE)
            trace.skipped += len(calls) - len(plausible)
            calls = plausible
        trace.lines += len(calls)
        self.store.add(position, settled(calls, ours=bool(trace.run), deep=trace.run.get("depth") == 1))

    # Looks at the lines that wait; what of them is calls is returned.
    def _others(self, position: int, trace: TraceFile) -> pl.DataFrame:
        chunk = b"".join(self._waiting)
        self._waiting.clear()
        for line in OUR_LINE.findall(chunk):
            document = _our_line(trace, line)
            _take_our_line(trace, document)
            profile = _profile(document) if document.get("name") == PROFILE else None
            if profile is not None:
                trace.profiles += 1
                self._profiles.append({**{key: profile.get(key) for key in PROFILES}, "trace": position})
        frame, skipped = parse_lines(chunk, self._schema)
        trace.skipped += skipped
        self._metadata(position, trace, frame.filter(pl.col("ph") == "M"))
        events = frame.filter(pl.col("ph") == "X")
        named = events.drop_nulls(["name", "pid", "ts"])
        named = named.with_columns(pl.col("cat").fill_null(""), pl.col("tid").fill_null(pl.col("pid")))
        trace.skipped += len(events) - len(named)
        return call_columns(named)

    def _metadata(self, position: int, trace: TraceFile, frame: pl.DataFrame) -> None:
        rows = frame.select("name", "pid", pl.col("args").struct.field("name").alias("text"), "args").drop_nulls("text")
        arguments = rows["args"].struct
        rows = rows.with_columns(arguments.field("value"), arguments.field("raw"))
        hosts = rows.filter(pl.col("name") == "HH")
        if len(hosts):
            trace.host = str(hosts["text"][0])
        files = rows.filter(pl.col("name") == "FH")
        self._paths.append(files.select(pl.col("value").cast(WORD).alias("fhash"), pl.col("text").alias("path")))
        for value, raw in files.drop_nulls("raw").select("value", "raw").iter_rows():
            with suppress(ValueError):  # not ours: the text that stands beside it is all there is
                self.raw_paths[value] = restore(raw)
        strings = rows.filter(pl.col("name") == "SH").drop_nulls("value")
        self._strings.append(strings.select("value", "text", "raw"))
        about = rows.filter(pl.col("name").is_in(["process_name", PROCESS])).drop_nulls("pid")
        for kind, pid, name, value in about.select("name", "pid", "text", "value").iter_rows():
            process = position, pid
            if kind == "process_name":
                self.processes[process] = name
                self._about.get(process, {}).pop(COMMAND_HASH, None)  # of what it executed before
            elif value is not None:
                self._about.setdefault(process, {})[name] = value


def _restored(text: str, raw: str | None) -> str:
    with suppress(ValueError):  # not ours
        return restore(raw) if raw else text
    return text


class _Paths:
    # The names of files by their hashes, which are categories and so are numbers.
    def __init__(self, paths: pl.DataFrame) -> None:
        self._hashes = paths["fhash"]  # as long as these are there, their numbers stay the same
        codes = self._hashes.to_physical().to_numpy()
        self._places = np.full(int(codes.max()) + 1 if len(codes) else 0, len(codes), np.uint32)
        self._places[codes] = np.arange(len(codes), dtype=np.uint32)
        self._texts = paths["path"].append(pl.Series([None], dtype=TEXT))

    def __call__(self, hashes: pl.Series) -> pl.Series:
        codes = hashes.to_physical().fill_null(NO_CODE).to_numpy()
        known = codes < len(self._places)
        places = np.full(len(codes), len(self._texts) - 1, np.uint32)
        places[known] = self._places[codes[known]]
        return self._texts.gather(places)


# A lease for reading is given only where no process has the file open for writing. It is not given to those who do not
# own the file either, nor by every file system: then nothing is known.
def _is_written(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


# A run that goes on in several files is complete when all of them are here.
def _look_for_parts(files: list[TraceFile]) -> None:
    parts: dict[tuple[str, str, str], set[int]] = {}
    for file in files:
        parts.setdefault(run_key(file), set()).add(int(file.run.get("part", 0)))
    for file in files:
        part, here = int(file.run.get("part", 0)), parts[run_key(file)]
        absent = [str(number) for number in range(part) if number not in here]
        if file.footer and file.footer.get("continued") and part + 1 not in here:
            absent.append(str(part + 1))
        if absent:
            file.absent = f"part of a run: part {', '.join(absent)} is not here"


# By the readings of all files of a run.
def _correct(files: list[TraceFile]) -> None:
    readings: dict[object, list[ClockReading]] = {}
    keys = [run_key(file) if file.run.get("run_id") else file.path for file in files]
    for key, file in zip(keys, files, strict=True):
        readings.setdefault(key, []).extend(file.clocks)
    for key, file in zip(keys, files, strict=True):
        file.correction = correction(readings[key])


def run_key(file: TraceFile) -> tuple[str, str, str]:
    """What the files of one run have in common; the run's id, its last part, is empty where the trace does not say."""
    return file.host, str(file.run.get("user", "")), str(file.run.get("run_id", ""))


def _our_line(trace: TraceFile, line: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):
        return {}  # counted as skipped where all lines are parsed
    try:
        check_form(document)
    except ValueError:
        trace.skipped += 1
        return {}
    return document


def _profile(document: dict[str, Any]) -> dict[str, Any] | None:
    process = document.get("pid")
    profile = read_profile(document["args"]) if isinstance(process, int) and 0 <= process < 1 << 32 else None
    return profile and {**profile, "name": profile["function"], "pid": process}


def _take_figures(trace: TraceFile, name: str, arguments: dict[str, Any]) -> None:
    if name == SAMPLED:
        trace.sampled |= read_sampled(arguments)
    elif sums := read_sums(arguments):
        trace.sums.append(sums)


def _take_our_line(trace: TraceFile, document: dict[str, Any]) -> None:
    arguments = document.get("args", {})
    match document.get("name"):
        case name if name == RUN:
            trace.run = arguments
        case name if name == COUNTS:
            trace.counts.append(arguments)
        case name if name == PROVENANCE:
            trace.provenance = arguments
        case name if name == FOOTER:
            trace.footer = arguments
        case name if name == CLOCK:
            reading = read_clock_line(arguments)
            trace.clocks += [ClockReading(*reading)] if reading else []
        case name if name == NOTE:
            trace.notes.append(arguments)
        case name if name in {SAMPLED, SUMS}:
            _take_figures(trace, name, arguments)
        case name if name == MOUNT and len(trace.mounts) < MOST_MOUNTS:
            trace.mounts |= read_mount(arguments)
        case name if name == PROCESS_EVENT:
            trace.events.append({"pid": document["pid"], "tid": document["tid"], **arguments})


def iterate_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every JSON line of a trace as a dict, one at a time: for tests and small tools."""
    for chunk in TraceText(path).chunks():
        for line in chunk.splitlines():
            if line not in {b"[", b"]"}:
                yield json.loads(line)
