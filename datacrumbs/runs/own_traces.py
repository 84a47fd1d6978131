"""What a user has: the runs that go on, and the traces of those that are over."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.daemon.run_files import SUFFIX, is_locked
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.runs.run_client import shown_runs
from datacrumbs.runs.trace_places import ROOT, size_of, trace_directory, trace_places
from datacrumbs.secure.files import DEEPEST, files_below
from datacrumbs.secure.privilege import become
from datacrumbs.secure.user_rights import groups_of
from datacrumbs.serving.limited import Bounds, LimitError, answer
from datacrumbs.system import read_system_configuration
from datacrumbs.trace.last_line import footer_of, is_being_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from datacrumbs.runs.trace_places import TracePlace
    from datacrumbs.system import SystemConfiguration, SystemPaths

COMPLETE, WRITTEN, INCOMPLETE, UNREAD = "complete", "being written", "not complete", "not looked at"
LOOK = Bounds(memory=256 << 20, processor_seconds=5, clock_seconds=5)
"""Of the look at one other user's traces."""
TOGETHER_SECONDS = 30.0
"""Time after which no further user's traces are looked at."""
LOOKED_AT, SHOWN = 100_000, 10_000
"""Most traces of one other user: those that are sorted, and the last ones of them, which are shown."""
READING_SECONDS = 2.0
"""Processor time after which traces are listed without a look into them."""
MOST_SAID = 16 << 20
"""Bytes that are taken of what is said of one user's traces."""
_RECORDED = re.compile(r"datacrumbs-(?P<command>.+)-[0-9]{8}T[0-9]{6}(?:-[0-9]+)?")
_READY = re.compile(r"datacrumbs-(?P<run>.+)\.ready")


@dataclass(frozen=True, slots=True)
class OwnTrace:
    """A run, or what is left of it.

    Args:
        when: When it started, or when its trace was last written to, in seconds since the epoch.
        run: Its id while it goes on, else the trace's name.
        command: What was run, where that is known.
        size: Of the trace, in bytes.
        state: ``complete``, ``being written``, or ``not complete``: cut short, or, where the file system has no locks,
            written by a run that is not known; ``not looked at`` for those of another user who has too many.
        trace: Where it is; empty for a run that is not ready.
    """

    when: int
    run: str
    command: str
    size: int
    state: str
    trace: str


def own_traces(paths: SystemPaths, left_out: Callable[[str], object] = lambda _: None) -> list[OwnTrace]:
    """The caller's runs and traces, the last one first; for root everyone's.

    Traces are looked for where the host keeps them, and in the working directory. What other users have there is not
    root's to look into: a process of theirs does, for a bounded time.

    Args:
        paths: The installation.
        left_out: Told what was not looked at, in words.
    """
    going = {each.trace or each.run: each for each in _running(paths)}
    configuration = read_system_configuration(paths)
    ended = _of_everyone(configuration, left_out) if os.geteuid() == ROOT else _of_caller(configuration)
    found = [*going.values(), *(each for each in ended if each.trace not in going)]
    return sorted(found, key=lambda each: (-each.when, each.trace))


def last_trace(paths: SystemPaths) -> Path:
    """The caller's last complete trace.

    Raises:
        DatacrumbsError: (exit 2) when there is none.
    """
    found = []
    for path in _own_files(read_system_configuration(paths)):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid():  # of others, as many as they like, nothing is read
                found.append((status.st_mtime, path, status))
    for _, path, status in sorted(found, key=lambda each: (-each[0], each[1])):
        with suppress(OSError):
            if _described(path, status).state == COMPLETE:
                return path
    raise usage_error("no trace is given, and you have none", "datacrumbs record CMD makes one")


def daemons(paths: SystemPaths) -> Iterator[tuple[str, int, str]]:
    """Run, process and trace of the daemons of this host; only root can list them."""
    try:
        ready = sorted(paths.run.glob("*.ready"))
    except OSError:
        return
    for path in ready:
        found = _READY.fullmatch(path.name)
        if found and is_locked(path.with_suffix(".lock")):
            with suppress(OSError, ValueError, KeyError):
                content = json.loads(path.read_bytes())
                yield found["run"], int(content["pid"]), str(content["trace"])


def _running(paths: SystemPaths) -> Iterator[OwnTrace]:
    served: tuple[str, ...] = ()
    with suppress(DatacrumbsError):
        runs = shown_runs(paths)
        served = tuple(run.run for run in runs)
        for run in runs:
            yield OwnTrace(
                run.started, run.run, run.command, size_of(run.trace) if run.trace else 0, WRITTEN, run.trace
            )
    if os.geteuid() == ROOT:
        for name, _, trace in daemons(paths):
            if name not in served:
                with suppress(OSError):  # it has ended meanwhile
                    when = int((paths.run / f"datacrumbs-{name}.ready").stat().st_mtime)
                    yield OwnTrace(when, name, "", size_of(trace), WRITTEN, trace)


# By root, what is root's: directories of others are not gone into.
def _own_files(configuration: SystemConfiguration) -> Iterator[Path]:
    if os.geteuid() != ROOT:
        return _trace_files(configuration)
    return (place.path for place in _places(configuration) if place.uid == ROOT)


# Where root works among the traces of a host, some come twice.
def _places(configuration: SystemConfiguration) -> Iterator[TracePlace]:
    with suppress(OSError):  # it is gone
        yield from trace_places(Path.cwd(), deepest=0)
    yield from trace_places(configuration.trace_log_dir)


def _trace_files(configuration: SystemConfiguration) -> Iterator[Path]:
    places = [(trace_directory(configuration), True)]
    with suppress(OSError):  # it is gone
        places.append((Path.cwd(), False))
    seen = set()
    for directory, below in places:
        for path in files_below(directory, SUFFIX, deepest=DEEPEST if below else 0):
            if path not in seen:
                seen.add(path)
                yield path


def _of_caller(configuration: SystemConfiguration) -> Iterator[OwnTrace]:
    for path in _trace_files(configuration):
        with suppress(OSError):
            yield _described(path, path.lstat())


def _of_everyone(configuration: SystemConfiguration, left_out: Callable[[str], object]) -> Iterator[OwnTrace]:
    others: dict[int, list[TracePlace]] = {}
    own: set[Path] = set()
    for place in _places(configuration):
        if place.uid != ROOT:
            theirs = others.setdefault(place.uid, [])
            if len(theirs) <= LOOKED_AT:  # one more, by which it is known that there are more
                theirs.append(place)
        elif place.path not in own:
            own.add(place.path)
            with suppress(OSError):
                yield _described(place.path, place.path.lstat())
    end = time.monotonic() + TOGETHER_SECONDS
    for uid, places in sorted(others.items()):
        where = str(places[0].path if places[0].is_directory else places[0].path.parent)
        if time.monotonic() > end:
            left_out(f"{where}: not looked at, since others' traces took too long")
            continue
        try:
            found, more = _said_by(uid, places)
        except (LimitError, OSError):
            left_out(f"{where}: traces of user {uid} are left out, which take too much time or memory")
            continue
        yield from found
        if more:
            left_out(f"{where}: user {uid} has more traces than are looked at; older ones are left out")


def _said_by(uid: int, places: Sequence[TracePlace]) -> tuple[list[OwnTrace], bool]:
    documents, more = json.loads(answer(lambda: _look(uid, places), LOOK.stretched(), MOST_SAID))
    return [OwnTrace(**document) for document in documents], more


# In a process that becomes this user.
def _look(uid: int, places: Sequence[TracePlace]) -> bytes:
    become(uid, *groups_of(uid))
    files: dict[Path, os.stat_result] = {}
    more = False
    for path in chain.from_iterable(files_below(p.path, SUFFIX) if p.is_directory else [p.path] for p in places):
        if path in files:
            continue
        if more := len(files) >= LOOKED_AT:
            break
        with suppress(OSError):
            files[path] = path.lstat()
    latest = sorted(files.items(), key=lambda each: (-each[1].st_mtime_ns, each[0]))
    found, room = list[dict[str, object]](), MOST_SAID // 2
    for number, (path, status) in enumerate(latest):
        if number >= SHOWN or room < 0:
            more = True
            break
        with suppress(OSError):
            found.append(asdict(_described(path, status, look=time.process_time() < READING_SECONDS)))
            room -= len(str(path)) * len(r"\ud800") * 2  # it is in there with its name, and a part of that
    return json.dumps([found, more]).encode()


def _described(path: Path, status: os.stat_result, *, look: bool = True) -> OwnTrace:
    if not stat.S_ISREG(status.st_mode) or (os.geteuid() != ROOT and status.st_uid != os.geteuid()):
        raise OSError
    if not status.st_size:  # of a run that has not begun, or the place of one that is written elsewhere until it ends
        raise OSError
    name = path.name.removesuffix(SUFFIX)
    recorded = _RECORDED.fullmatch(name)
    state = _state(path) if look else UNREAD
    return OwnTrace(
        int(status.st_mtime), name, recorded["command"] if recorded else "", status.st_size, state, str(path)
    )


def _state(path: Path) -> str:
    if footer_of(path) is not None:
        return COMPLETE
    return WRITTEN if is_being_written(path) else INCOMPLETE
