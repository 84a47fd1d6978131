"""The client of a run's snapshots: asks the process that writes for what it has recorded so far.

That process is the run's user's, so root believes nothing of what it says but its form.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datacrumbs.daemon.identity import JOB_VARIABLES, run_id
from datacrumbs.daemon.run_files import socket_path
from datacrumbs.errors import DatacrumbsError
from datacrumbs.runs.own_traces import daemons
from datacrumbs.runs.run_client import shown_runs
from datacrumbs.trace.snapshot import CUT_SHORT, ENDED, FIGURES, RUNNING, SCOPES, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from datacrumbs.system import SystemPaths

ANSWER_SECONDS = 30.0
LARGEST = 8 << 20
"""Bytes of a snapshot."""
MOST_ROWS = 1024
_RUN_VARIABLE = "DATACRUMBS_RUN_ID"
_LARGEST_NUMBER = 1 << 63
_LONGEST_TEXT = 4096
_READ = 1 << 16
_QUESTION = b"?"
_TEXTS = ("run", "user", "host", "state")
_NUMBERS = ("begin_us", "time_us", "recent_ns", "recorded", "counted", "lost")
_KEYS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "function": {"layer": (str,), "function": (str,), "one_of": (int,), "nested": (int,)},
    "layer": {"layer": (str,), "nested": (int,)},
    "file": {"path": (str, type(None))},
    "process": {"process": (int, type(None)), "name": (str, type(None)), "rank": (int, type(None))},
    "rank": {"job_id": (str, type(None)), "step": (int, type(None)), "rank": (int, type(None))},
}
_COUNTS = [f"{when}{figure}{'_ns' if figure == 'time' else ''}" for when in ("", "recent_") for figure in FIGURES]


class WatchedRun:
    """A connection to a run.

    Args:
        paths: The installation.
        run: The run's id.

    Raises:
        DatacrumbsError: (exit 2) when it is no plain name; (exit 1) when it is none of the caller's that goes on, or
            too many others are waiting for its answers.
    """

    def __init__(self, paths: SystemPaths, run: str) -> None:
        self.run = run_id(run, {}, 0)
        self._socket = _connected(socket_path(paths.run, self.run), self.run)
        self._read = bytearray()
        self.ended = False

    def fileno(self) -> int:
        """Readable when it says something, such as that it has ended."""
        return self._socket.fileno()

    def ask(self) -> dict[str, Any]:
        """What is recorded by now; of a run that has just ended, all.

        Raises:
            DatacrumbsError: (exit 1) It has ended before it could answer, takes too long, or says what is no snapshot.
        """
        self.question()
        end = time.monotonic() + ANSWER_SECONDS
        while (left := end - time.monotonic()) > 0:
            found = self.heard(left)
            if found is not None:
                return found
            if self.ended:
                raise DatacrumbsError(f"run {self.run} ended before it answered")
        raise _silent(self.run)

    def question(self) -> None:
        """Ask, and do not wait for the answer."""
        with suppress(ConnectionError):  # what it said at its end can be read
            self._socket.sendall(_QUESTION)

    def heard(self, seconds: float = 0.0) -> dict[str, Any] | None:
        """A snapshot that it sends within this time, or None; `ended` says whether more can come.

        Raises:
            DatacrumbsError: (exit 1) It says what is no snapshot.
        """
        end = time.monotonic() + seconds
        while not self.ended and b"\n" not in self._read:
            if not select.select([self._socket], [], [], max(end - time.monotonic(), 0))[0]:
                return None
            try:
                data = self._socket.recv(_READ)
            except ConnectionResetError:  # it ended before it took the question
                data = b""
            self._read += data
            self.ended = not data
            if len(self._read) > LARGEST:
                raise self._refused()
            if b"\n" not in self._read and time.monotonic() >= end:  # also where it never stops sending
                return None
        line, newline, rest = bytes(self._read).partition(b"\n")
        self._read = bytearray(rest)
        if not newline:
            return None
        found = snapshot(line)
        if found is None or found["run"] != self.run:
            raise self._refused()
        self.ended = self.ended or found["state"] != RUNNING
        return found

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _refused(self) -> DatacrumbsError:
        return DatacrumbsError(f"run {self.run} answers what is no snapshot", hint="is it of another version?")


def runs_to_watch(paths: SystemPaths) -> list[str]:
    """The caller's runs that go on, the last one first, as far as they can be known; for root everyone's."""
    found: dict[str, float] = {}
    with suppress(DatacrumbsError):
        found |= {run.run: run.started for run in shown_runs(paths)}
    for name, _, _ in daemons(paths):
        with suppress(OSError):
            found[name] = (paths.run / f"datacrumbs-{name}.ready").stat().st_mtime
    for variable in (_RUN_VARIABLE, *JOB_VARIABLES):
        with suppress(DatacrumbsError):
            value = os.environ.get(variable)
            name = run_id(value if variable == _RUN_VARIABLE else None, {variable: value}, 0) if value else ""
            if name and socket_path(paths.run, name).exists():
                found.setdefault(name, 0)
    return sorted(found, key=lambda name: (-found[name], name))


def user_of(paths: SystemPaths, run: str) -> str:
    """Whose a run is, as root wrote it down when it began; empty where that cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((paths.run / f"datacrumbs-{run}.ready").read_bytes())["user"])
    return ""


# By a descriptor of the directory, since an address has room for 107 bytes. Where others wait to be taken already, as
# with a process that is stopped, connecting would wait without end.
def _connected(path: Path, run: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(0)
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
    except BlockingIOError:
        connection.close()
        raise _silent(run) from None
    except OSError:  # whether another user has one is not said
        connection.close()
        raise DatacrumbsError(
            f"no run {run} of yours goes on here", hint="datacrumbs_list shows your runs; root sees everyone's"
        ) from None
    connection.settimeout(None)
    return connection


def _silent(run: str) -> DatacrumbsError:
    return DatacrumbsError(f"run {run} does not answer", hint="it may wait for its disk; try again")


def snapshot(line: bytes) -> dict[str, Any] | None:
    """A line as a snapshot, if it has the form of one; keys that are not known are left out."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("schema_version", document.get("version")) != VERSION:
        return None  # a run of an earlier version of DataCrumbs says `version`
    return _checked(document)


def _checked(document: dict[str, Any]) -> dict[str, Any] | None:
    texts = {key: document.get(key) for key in _TEXTS}
    numbers = {key: document.get(key) for key in _NUMBERS}
    views, left_out, sampled = (document.get(key) for key in ("views", "left_out", "sampled"))
    if not all(_is(text, (str,)) for text in texts.values()) or texts["state"] not in {RUNNING, ENDED, CUT_SHORT}:
        return None
    if not all(_is(number, (int,)) for number in numbers.values()) or not isinstance(sampled, bool):
        return None
    if not isinstance(views, dict) or not isinstance(left_out, dict):
        return None
    rows = {view: _rows(view, views.get(view)) for view in SCOPES}
    if None in rows.values() or not all(_is(left_out.get(view), (int,)) for view in SCOPES):
        return None
    more = {"sampled": sampled, "views": rows, "left_out": {view: left_out[view] for view in SCOPES}}
    return {"schema_version": VERSION, **texts, **numbers, **more}


def _rows(view: str, rows: object) -> list[dict[str, Any]] | None:
    if not isinstance(rows, list) or len(rows) > MOST_ROWS:
        return None
    kinds = {**_KEYS[view], **dict.fromkeys((*_COUNTS, "counted"), (int,))}
    kinds |= dict.fromkeys(("bytes", "recent_bytes"), (int, type(None)))
    if not all(isinstance(row, dict) and all(_is(row.get(key), kind) for key, kind in kinds.items()) for row in rows):
        return None
    return [{key: row.get(key) for key in kinds} for row in rows]


# A truth value is a whole number to Python, not here.
def _is(value: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return False
    if isinstance(value, int) and not 0 <= value < _LARGEST_NUMBER:
        return False
    return type(value) in kinds
