"""Traces to columns: ours and DFTracer's, whole or cut short, many at once."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.errors import usage_error
from datacrumbs.secure.files import files_below
from datacrumbs.trace.call_store import MEMORY, CallStore
from datacrumbs.trace.columns import DETAILS, WORD, Readers
from datacrumbs.trace.command_lines import COMMAND_HASH
from datacrumbs.trace.corrections import ClockReading, corrected_parts, corrected_profiles, correction
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.file_facts import TraceFile, look_for_parts, run_key
from datacrumbs.trace.file_names import FileNames
from datacrumbs.trace.json_lines import DETAILED, SCHEMA, call_columns, settled
from datacrumbs.trace.members import TraceText
from datacrumbs.trace.own_lines import take_our_lines
from datacrumbs.trace.ranks import PROCESS, Rank, read_rank
from datacrumbs.trace.text import restore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from datacrumbs.trace.call_store import Span, StoredCalls
    from datacrumbs.trace.columns import CallPart
    from datacrumbs.trace.corrections import Correction

SUFFIX = ".pfw.gz"
OTHERS_SIZE = 1 << 20
"""Bytes of lines that are no calls, which are looked at together."""
NO_CODE = (1 << 32) - 1
NUMBER, TEXT = pl.Int64, pl.String
__all__ = ["DETAILS", "SUFFIX", "TraceFile", "Traces", "find_traces", "read_traces", "run_key"]
PROFILES: dict[str, Any] = {"trace": pl.UInt32, "pid": NUMBER, "category": TEXT, "name": TEXT, "symbol": TEXT}
PROFILES |= {"provider": TEXT, "cause": TEXT, "fhash": TEXT, "begin": NUMBER, "end": NUMBER, "count": NUMBER}
PROFILES |= {"errors": NUMBER, "bytes": NUMBER, "time_ns": NUMBER, "shortest_ns": NUMBER, "longest_ns": NUMBER}
PROFILES |= {"times": TEXT, "sizes": TEXT}


@dataclass
class Traces:
    """What was read.

    Attributes:
        files: One per trace.
        parts: Calls in the order in which they were read, some together, with the columns of `calls`.
        calls: Lazy columns: trace (u32, position in ``files``), order (i64, the position among all lines), category,
            name, symbol (null where it is the name), pid, tid, ts (epoch us), dur (us), ret, errno (null unless
            failed), bytes (null when unknown), fhash, to_hash, depth (in how many calls of its thread it was made; null
            where the trace does not say), end (epoch us), path (null when none), target;
            those of `DETAILS` where they were asked for.
        profiles: Calls that were added up, columns of PROFILES, and path (null when none).
        paths: The name of each file, columns fhash and path.
        count: How many calls there are; ``order`` is below it.
        failures: Calls that failed.
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
    parts: list[StoredCalls]
    processes: dict[tuple[int, int], str]
    raw_paths: dict[str, str]
    profiles: pl.DataFrame
    paths: pl.DataFrame
    count: int = 0
    failures: int = 0
    copies: int = 0
    spill: Path | None = None
    ranks: dict[tuple[int, int], Rank] = field(default_factory=dict)
    command_lines: dict[tuple[int, int], str] = field(default_factory=dict)
    several_nodes: bool = False

    def __post_init__(self) -> None:
        if self.spill:
            weakref.finalize(self, shutil.rmtree, self.spill, ignore_errors=True)

    @cached_property
    def calls(self) -> pl.LazyFrame:
        return pl.concat(part.calls for part in self.parts)

    def near(self, begin: int, end: int, files: Collection[int] | None = None) -> pl.LazyFrame:
        """Those parts of the calls together in which all are that begin before ``end`` and end at or after ``begin``.

        What is kept on disk is not even opened where it has none of these calls.

        Args:
            begin: Epoch us.
            end: Likewise.
            files: Positions of traces whose calls are wanted; None for all.
        """

        def has_some(span: Span) -> bool:
            return span.begin < end and span.end >= begin and (files is None or span.trace in files)

        found = [part.calls for part in self.parts if any(map(has_some, part.spans))]
        return pl.concat(found) if found else self.parts[0].calls.clear()

    def correct(self, corrections: Mapping[int, Correction]) -> None:
        """Correct all times, each by the correction for the position of its trace."""
        self.parts = corrected_parts(self.parts, corrections)
        self.profiles = corrected_profiles(self.profiles, corrections)
        vars(self).pop("calls", None)


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

    files = files_below(directory, SUFFIX, refuse)
    return sorted(file for file in files if file.is_file() and file.stat().st_size)


def read_traces(
    paths: Sequence[Path],
    memory: int = MEMORY,
    *,
    details: bool = False,
    passed: Callable[[int], object] = lambda _: None,
) -> Traces:
    """Read whole traces.

    Args:
        paths: Trace files.
        memory: Bytes that calls may take in memory; where they are more, they go to temporary files.
        details: Whether the calls have the columns of `DETAILS`, too (null where a call has no such argument).
        passed: Called with how many more bytes of the files have been read.

    Raises:
        DatacrumbsError: (exit 2) when a file is missing, empty, not gzip or something else than a trace.
    """
    gathering = _Gathering(memory, details=details, passed=passed)
    try:
        files = [gathering.read(position, path) for position, path in enumerate(paths)]
    except BaseException:
        gathering.store.remove()
        raise
    look_for_parts(files)
    _correct(files)
    names, store = gathering.paths(), gathering.store
    traces = Traces(
        files,
        store.parts(_Paths(names)),
        gathering.processes,
        gathering.raw_paths,
        gathering.profiles(names),
        names,
        store.count,
        store.failures,
        store.copies,
        store.spill,
        gathering.ranks(),
        gathering.command_lines(),
    )
    traces.correct({position: file.correction for position, file in enumerate(files)})
    del gathering, store  # with what its readers have room in
    _give_back_memory()
    return traces


# What threads have freed, which glibc keeps for others that may come.
def _give_back_memory() -> None:
    with suppress(AttributeError):  # other C libraries keep less
        ctypes.CDLL(None).malloc_trim(0)


# Numbers of a line that no kernel gives: sums of them would be beyond all numbers.
_LAST_MOMENT, _LAST_PROCESS = 1 << 53, (1 << 32) - 1
_PLAUSIBLE = pl.all_horizontal(
    *(pl.col(name).is_between(0, _LAST_MOMENT) for name in ("ts", "dur")),
    *(pl.col(name).is_between(0, _LAST_PROCESS) for name in ("pid", "tid")),
)


class _Gathering:
    def __init__(self, memory: int, *, details: bool, passed: Callable[[int], object]) -> None:
        self._passed = passed
        self._readers = Readers(details=details)
        self._functions = self._readers.functions
        self._names = FileNames()
        self.store = CallStore(self._functions, memory, details=details)
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
        deep = trace.run.get("depth") == 1
        self.store.add(position, settled(calls, self._functions, ours=bool(trace.run), deep=deep))

    # Looks at the lines that wait; what of them is calls is returned.
    def _others(self, position: int, trace: TraceFile) -> pl.DataFrame:
        chunk = b"".join(self._waiting)
        self._waiting.clear()
        names, others, frame, skipped = self._names.parse(chunk, self._schema)
        self._paths.append(names)
        for profile in take_our_lines(trace, others):
            self._profiles.append({**{key: profile.get(key) for key in PROFILES}, "trace": position})
        trace.skipped += skipped
        self._metadata(position, trace, frame.filter(pl.col("ph") == "M"))
        events = frame.filter(pl.col("ph") == "X")
        named = events.drop_nulls(["name", "pid", "ts"])
        named = named.with_columns(pl.col("cat").fill_null(""), pl.col("tid").fill_null(pl.col("pid")))
        trace.skipped += len(events) - len(named)
        return self._functions.numbered(call_columns(named))

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


# By the readings of all files of a run.
def _correct(files: list[TraceFile]) -> None:
    readings: dict[object, list[ClockReading]] = {}
    keys = [run_key(file) if file.run.get("run_id") else file.path for file in files]
    for key, file in zip(keys, files, strict=True):
        readings.setdefault(key, []).extend(file.clocks)
    for key, file in zip(keys, files, strict=True):
        file.correction = correction(readings[key])
