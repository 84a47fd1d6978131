"""What a user has: the runs that go on, and the traces of those that are over."""

from __future__ import annotations

import json
import os
import pwd
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.daemon.identity import path_word
from datacrumbs.daemon.run_files import SUFFIX, is_locked
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.runs.run_client import shown_runs
from datacrumbs.system import read_system_configuration
from datacrumbs.trace.last_line import footer_of, is_being_written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.system import SystemConfiguration, SystemPaths

COMPLETE, WRITTEN, INCOMPLETE = "complete", "being written", "not complete"
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
            written by a run that is not known.
        trace: Where it is; empty for a run that is not ready.
    """

    when: int
    run: str
    command: str
    size: int
    state: str
    trace: str


def own_traces(paths: SystemPaths) -> list[OwnTrace]:
    """The caller's runs and traces, the last one first; for root everyone's.

    Traces are looked for where the host keeps them, and in the working directory.
    """
    going = {each.trace or each.run: each for each in _running(paths)}
    found = list(going.values())
    for path in _trace_files(read_system_configuration(paths)):
        if str(path) not in going:
            with suppress(OSError):
                found.append(_described(path))
    return sorted(found, key=lambda each: (-each.when, each.trace))


def last_trace(paths: SystemPaths) -> Path:
    """The caller's last complete trace.

    Raises:
        DatacrumbsError: (exit 2) when there is none.
    """
    own = os.geteuid()
    for each in own_traces(paths):
        with suppress(OSError):
            if each.state == COMPLETE and Path(each.trace).lstat().st_uid == own:
                return Path(each.trace)
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
            yield OwnTrace(run.started, run.run, run.command, _size(run.trace), WRITTEN, run.trace)
    if os.geteuid() == 0:
        for name, _, trace in daemons(paths):
            if name not in served:
                when = int((paths.run / f"datacrumbs-{name}.ready").stat().st_mtime)
                yield OwnTrace(when, name, "", _size(trace), WRITTEN, trace)


def _size(trace: str) -> int:
    try:
        return Path(trace).lstat().st_size if trace else 0
    except OSError:
        return 0


def _trace_files(configuration: SystemConfiguration) -> Iterator[Path]:
    top = configuration.trace_log_dir
    if os.geteuid() != 0 and configuration.trace_pattern.startswith("{user}/"):
        with suppress(KeyError):  # a user without an account
            top /= path_word(pwd.getpwuid(os.geteuid()).pw_name)
    places = [(top, True)]
    with suppress(OSError):  # it is gone
        places.append((Path.cwd(), False))
    seen = set()
    for directory, below in places:
        for place, directories, names in os.walk(directory):
            if not below:
                directories.clear()
            for name in names:
                path = Path(place, name)
                if name.endswith(SUFFIX) and path not in seen:
                    seen.add(path)
                    yield path


def _described(path: Path) -> OwnTrace:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or (os.geteuid() != 0 and status.st_uid != os.geteuid()):
        raise OSError
    name = path.name.removesuffix(SUFFIX)
    recorded = _RECORDED.fullmatch(name)
    state = COMPLETE if footer_of(path) is not None else WRITTEN if is_being_written(path) else INCOMPLETE
    return OwnTrace(
        int(status.st_mtime), name, recorded["command"] if recorded else "", status.st_size, state, str(path)
    )
