"""Traces to columns: ours and DFTracer's, whole or cut short, many at once."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shutil
import tempfile
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import usage_error
from datacrumbs.output import counted
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.footer import COUNTS, FOOTER, PROVENANCE
from datacrumbs.trace.forms import check_form
from datacrumbs.trace.members import TraceText
from datacrumbs.trace.mounts import MOUNT, read_mount
from datacrumbs.trace.notes import NOTE
from datacrumbs.trace.processes import PROCESS_EVENT
from datacrumbs.trace.profiles import PROFILE, SAMPLED, read_profile, read_sampled
from datacrumbs.trace.text import restore
from datacrumbs.trace.writer import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUFFIX = ".pfw.gz"
SPILL_ROWS = 8_000_000
"""Calls kept in memory, about 60 bytes each; more go to temporary Parquet files."""

NUMBER, TEXT = pl.Int64, pl.String
ARGUMENTS = {"hhash": TEXT, "fhash": TEXT, "to_hash": TEXT, "ret": NUMBER, "errno": NUMBER, "bytes": NUMBER}
ARGUMENTS |= {"symbol": TEXT, "name": TEXT, "value": TEXT, "raw": TEXT}
DETAILS: dict[str, Any] = {"fd": pl.Int32, "offset": NUMBER, "count": NUMBER, "whence": pl.Int8, "flags": NUMBER}
DETAILS |= {"dev": NUMBER, "sector": NUMBER, "nr_sector": NUMBER, "rwbs": NUMBER}
"""Arguments that `read_traces` gives as columns where they are asked for, and what of them is kept."""
SCHEMA: dict[str, Any] = {"name": TEXT, "cat": TEXT, "ph": TEXT, "pid": NUMBER, "tid": NUMBER}
SCHEMA |= {"ts": NUMBER, "dur": NUMBER, "args": pl.Struct(ARGUMENTS)}
DETAILED: dict[str, Any] = {**SCHEMA, "args": pl.Struct(ARGUMENTS | dict.fromkeys(DETAILS, NUMBER))}
WORD = pl.Categorical()
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

MOVING: tuple[str, ...] = (
    "read",
    "write",
    "pread",
    "pwrite",
    "pread64",
    "pwrite64",
    "readv",
    "writev",
    "preadv",
    "pwritev",
)
MOVING += ("preadv2", "pwritev2", "fread", "fwrite", "send", "recv", "sendto", "recvfrom", "sendmsg", "recvmsg")
"""Calls whose ``ret`` is the bytes moved, for traces that do not say ``bytes``."""


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
        sampled: (category, name, symbol) -> one of how many calls stands in the trace, where not all do.
        mounts: Mount point -> whether what lies below it is of this node alone, see `node_mounts`.
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
    mounts: dict[str, bool] = field(default_factory=dict)
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
            failed), bytes (null when unknown), path (null when none); those of `DETAILS` where they were asked for.
        profiles: Calls that were added up, columns of PROFILES, and path (null when none).
        processes: (trace, pid) -> last known process name.
        raw_paths: hash -> text with surrogateescape, for names that are not valid UTF-8.
        spill: Directory of temporary files, removed with this object.
    """

    files: list[TraceFile]
    calls: pl.LazyFrame
    processes: dict[tuple[int, int], str]
    raw_paths: dict[str, str]
    profiles: pl.DataFrame
    spill: Path | None = None

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


def read_traces(paths: Sequence[Path], spill_rows: int = SPILL_ROWS, *, details: bool = False) -> Traces:
    """Read whole traces.

    Args:
        paths: Trace files.
        spill_rows: How many calls may stay in memory.
        details: Whether the calls have the columns of `DETAILS`, too (null where a call has no such argument).

    Raises:
        DatacrumbsError: (exit 2) when a file is missing, empty, not gzip or something else than a trace.
    """
    gathering = _Gathering(spill_rows, DETAILED if details else SCHEMA)
    try:
        files = [gathering.read(position, path) for position, path in enumerate(paths)]
    except BaseException:
        if gathering.spill:
            shutil.rmtree(gathering.spill, ignore_errors=True)
        raise
    _look_for_parts(files)
    calls, profiles = gathering.calls(), gathering.profiles()
    return Traces(files, calls, gathering.processes, gathering.raw_paths, profiles, gathering.spill)


class _Gathering:
    def __init__(self, spill_rows: int, schema: dict[str, Any]) -> None:
        self._spill_rows = spill_rows
        self._schema = schema
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._order = 0
        self._copies = 0  # calls that name a second file
        self._parts = 0
        self._paths: list[pl.DataFrame] = []
        self._profiles: list[dict[str, Any]] = []
        self.spill: Path | None = None
        self.processes: dict[tuple[int, int], str] = {}
        self.raw_paths: dict[str, str] = {}

    def read(self, position: int, path: Path) -> TraceFile:
        trace = TraceFile(path)
        text = TraceText(path)
        last = b""
        for chunk in text.chunks():
            last = chunk[-16:]
            self._chunk(position, trace, chunk)
        if text.start not in {b"", b"["} and not (trace.lines or trace.run or trace.host):
            raise usage_error(f"{path}: contains no trace line; expected a trace ({SUFFIX})")
        trace.closed = last.rstrip(b"\n").rpartition(b"\n")[2] == b"]"
        trace.behind = trace.closed and text.behind
        trace.damage = text.damage or ("damaged: no gzip member follows" if text.behind else "")
        trace.live = not trace.closed and _is_written(path)
        return trace

    def calls(self) -> pl.LazyFrame:
        parts = [frame.lazy() for frame in self._frames] or [
            _columns(_frame(b"", self._schema), 0, 0, ours=True).lazy()
        ]
        if self.spill:
            parts.insert(0, pl.scan_parquet(self.spill / "*.parquet"))
        paths = self._all_paths().lazy()
        calls = pl.concat(parts).join(paths, on="fhash", how="left", maintain_order="left")
        if not self._copies:
            return calls.with_columns(pl.lit(None, TEXT).alias("target"))
        targets = paths.rename({"fhash": "to_hash", "path": "target"})
        return calls.join(targets, on="to_hash", how="left", maintain_order="left")

    def profiles(self) -> pl.DataFrame:
        paths = self._all_paths().with_columns(pl.col("fhash").cast(TEXT))
        return pl.DataFrame(self._profiles, PROFILES).join(paths, on="fhash", how="left")

    def _all_paths(self) -> pl.DataFrame:
        empty = pl.DataFrame(schema={"fhash": WORD, "path": TEXT})
        return pl.concat([empty, *self._paths]).unique("fhash", keep="first")

    def _chunk(self, position: int, trace: TraceFile, chunk: bytes) -> None:
        for line in OUR_LINE.findall(chunk):
            document = _our_line(trace, line)
            _take_our_line(trace, document)
            profile = _profile(document) if document.get("name") == PROFILE else None
            if profile is not None:
                trace.profiles += 1
                self._profiles.append({**{key: profile.get(key) for key in PROFILES}, "trace": position})
        frame, skipped = _parse(chunk, self._schema)
        trace.skipped += skipped
        self._metadata(position, trace, frame.filter(pl.col("ph") == "M"))
        events = frame.filter(pl.col("ph") == "X")
        named = events.drop_nulls("name").with_columns(pl.col("cat").fill_null(""))
        trace.skipped += len(events) - len(named)
        calls = _columns(named, position, self._order, ours=bool(trace.run))
        self._order += len(calls)
        trace.lines += len(calls)
        self._copies += calls["to_hash"].count()
        self._frames.append(calls)
        self._rows += len(calls)
        if self._rows >= self._spill_rows:
            self._write_out()

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
        for pid, text in rows.filter(pl.col("name") == "process_name").select("pid", "text").iter_rows():
            self.processes[position, pid] = text

    def _write_out(self) -> None:
        if self.spill is None:
            self.spill = Path(tempfile.mkdtemp(prefix="datacrumbs-report-"))
        pl.concat(self._frames).write_parquet(self.spill / f"{self._parts:06}.parquet", compression="lz4")
        self._parts += 1
        self._frames.clear()
        self._rows = 0


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


def run_key(file: TraceFile) -> tuple[str, str, str]:
    """What the files of one run have in common; the run's id, its last part, is empty where the trace does not say."""
    return file.host, str(file.run.get("user", "")), str(file.run.get("run_id", ""))


_UNREADABLE = (pl.exceptions.PolarsError, OSError)
"""What polars raises for lines that are no JSON; OSError for what begins as a compressed stream does."""


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
        case name if name == NOTE:
            trace.notes.append(arguments)
        case name if name == SAMPLED:
            trace.sampled |= read_sampled(arguments)
        case name if name == MOUNT:
            trace.mounts |= read_mount(arguments)
        case name if name == PROCESS_EVENT:
            trace.events.append({"pid": document["pid"], "tid": document["tid"], **arguments})


def _parse(chunk: bytes, schema: dict[str, Any]) -> tuple[pl.DataFrame, int]:
    # Lines to a frame, and how many are no JSON.
    chunk = chunk.removeprefix(b"[\n")
    if chunk.endswith((b"\n]\n", b"\n]")) or chunk in {b"]\n", b"]"}:
        chunk = chunk.rstrip(b"]\n")
        chunk += b"\n" if chunk else b""
    try:
        return _frame(chunk, schema), 0
    except _UNREADABLE:
        lines = [line for line in chunk.splitlines() if line not in {b"[", b"]", b""}]
        good = [line for line in lines if _is_object(line)]
        frames = list(_readable(good, schema))
        read = sum(count for _, count in frames)
        return pl.concat([_frame(b"", schema), *(frame for frame, _ in frames)]), len(lines) - read


# Frames of what can be read, with their numbers of lines. A damaged file is a rare thing, and so are its damaged
# lines: halving finds them.
def _readable(lines: list[bytes], schema: dict[str, Any]) -> Iterator[tuple[pl.DataFrame, int]]:
    if not lines:
        return
    try:
        yield _frame(b"\n".join(lines), schema), len(lines)
    except _UNREADABLE:
        if len(lines) > 1:
            yield from _readable(lines[: len(lines) // 2], schema)
            yield from _readable(lines[len(lines) // 2 :], schema)


def _frame(chunk: bytes, schema: dict[str, Any]) -> pl.DataFrame:
    if not chunk.strip():
        return pl.DataFrame(schema=schema)
    return pl.read_ndjson(io.BytesIO(chunk), schema=schema, ignore_errors=True)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _columns(frame: pl.DataFrame, position: int, order: int, *, ours: bool) -> pl.DataFrame:
    arguments = pl.col("args").struct
    ret, errno, moved = (arguments.field(name) for name in ("ret", "errno", "bytes"))
    if not ours:
        # DFTracer writes neither errno nor bytes; there -1 is a failure and ret of a data call its bytes.
        errno = pl.when(ret == -1).then(pl.coalesce(errno, 0)).otherwise(errno)
        moved = pl.coalesce(moved, pl.when(pl.col("name").is_in(MOVING) & (ret >= 0)).then(ret))
    return frame.select(
        pl.lit(position, pl.UInt32).alias("trace"),
        pl.int_range(order, order + pl.len(), dtype=NUMBER).alias("order"),
        pl.col("cat").cast(WORD).alias("category"),
        pl.col("name").cast(WORD),
        arguments.field("symbol").cast(WORD).alias("symbol"),
        "pid",
        "tid",
        "ts",
        pl.col("dur").fill_null(0),
        ret.alias("ret"),
        errno.alias("errno"),
        pl.when(moved >= 0).then(moved).alias("bytes"),  # a layer says -1 where it cannot know
        arguments.field("fhash").cast(WORD).alias("fhash"),
        arguments.field("to_hash").cast(WORD).alias("to_hash"),
        *_details(frame),
    )


# A number that does not fit is none: a file system has no such offset.
def _details(frame: pl.DataFrame) -> Iterator[pl.Expr]:
    for name in DETAILS if frame.schema["args"] == DETAILED["args"] else ():
        yield pl.col("args").struct.field(name).cast(DETAILS[name], strict=False).alias(name)


def iterate_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every JSON line of a trace as a dict, one at a time: for tests and small tools."""
    for chunk in TraceText(path).chunks():
        for line in chunk.splitlines():
            if line not in {b"[", b"]"}:
                yield json.loads(line)
