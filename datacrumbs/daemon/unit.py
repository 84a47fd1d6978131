"""A run as a unit: its environment file, its log, and what is left when it ends.

The file ``datacrumbs-<run id>.env`` is written by what starts the unit, often with a path that a user
chose. So it is read here and not by systemd: what it holds is data of known keys, and never
becomes the environment of a process that runs as root.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from datacrumbs.daemon.identity import Instance
from datacrumbs.daemon.run_files import RunFiles, remove_forgotten
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.model.contract import GROUP_NAME_SIZE
from datacrumbs.model.plan import Mode
from datacrumbs.quantities import megabytes, seconds
from datacrumbs.secure.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE_LIMIT = 64 * 1024
LIMITS = {
    "DURATION": ("duration_seconds", seconds),
    "ROTATE_SIZE": ("rotate_megabytes", megabytes),
    "MAX_SIZE": ("max_megabytes", megabytes),
}
"""Keys of the environment file for keys of the system configuration, and how their values are read."""
KEYS = ("PROBE_FILE", "USER", "RUN_ID", "MODE", "MARKS", "CGROUP", "AWAIT_CGROUP", "CGROUP_MAKER", "JOB", *LIMITS)
_AWAITED_MOST = 8
_AWAITED = re.compile(rf"[!-.0-~]{{1,{GROUP_NAME_SIZE - 1}}}/[!-.0-~]{{1,{GROUP_NAME_SIZE - 1}}}")
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def environment_file(directory: Path, run: str) -> Path:
    """The environment file of a run."""
    return directory / f"datacrumbs-{run}.env"


def log_file(directory: Path, run: str) -> Path:
    """The log of a run that is a unit."""
    return directory / f"datacrumbs-{run}.log"


def read_instance(directory: Path, run: str) -> Instance:
    """Read the environment file of a run.

    One ``KEY=VALUE`` a line; a value is what follows up to the line's end, without quotes or escapes. An unknown key, a
    key that comes twice or any other line is refused: a path with a line break would otherwise bring keys of its own.

    Raises:
        DatacrumbsError: (exit 1) when it is missing; (exit 2) for a wrong form; (exit 3) when others than root may
            change it.
    """
    path = environment_file(directory, run)
    values = _values(path, os.fsdecode(read_bounded(path, FILE_LIMIT, protected=True)))
    if values.get("RUN_ID", run) != run:
        raise usage_error(f"{path}: RUN_ID: {values['RUN_ID'][:80]!r} is not the unit's instance {run!r}")
    probes = values.get("PROBE_FILE", "")
    if not probes.startswith("/"):
        raise usage_error(f"{path}: PROBE_FILE: {probes[:80]!r}; expected the absolute path of a probe file")
    # Only towards less: which calls may be recorded one by one, the signer has decided.
    if values.get("MODE", Mode.PROFILE) != Mode.PROFILE:
        raise usage_error(f"{path}: MODE: {values['MODE'][:80]!r}; expected {Mode.PROFILE}, or no such key")
    if values.get("MARKS", "any") not in {"any", "named"}:
        raise usage_error(f"{path}: MARKS: {values['MARKS'][:80]!r}; expected any or named, or no such key")
    grouped = not {"CGROUP", "AWAIT_CGROUP"}.isdisjoint(values)
    return Instance(
        Path(probes),
        _uid(path, "USER", values["USER"]) if "USER" in values else None,
        Mode.PROFILE if "MODE" in values else None,
        {LIMITS[key][0]: _limit(path, key, values[key]) for key in LIMITS if key in values},
        unnamed=values.get("MARKS", "named" if grouped else "any") != "named",
        group=_group(path, values["CGROUP"]) if "CGROUP" in values else None,
        awaited=_awaited(path, values.get("AWAIT_CGROUP", "")),
        maker=_uid(path, "CGROUP_MAKER", values["CGROUP_MAKER"]) if "CGROUP_MAKER" in values else 0,
        job=values.get("JOB", ""),
    )


@contextmanager
def run_log(directory: Path, run: str) -> Iterator[int]:
    """Write messages to the run's log as well; gives its descriptor, so that the run's user can be let read it.

    Args:
        directory: The run directory.
        run: The run id.

    Raises:
        DatacrumbsError: (exit 1) when the log cannot be made.
    """
    path = log_file(directory, run)
    try:
        path.unlink(missing_ok=True)
        stream = os.fdopen(os.open(path, _LOG_FLAGS, 0o400), "w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be created: {error.strerror}", hint="run datacrumbs_setup") from None
    journal = sys.stderr
    with stream:
        sys.stderr = _Both(journal, stream)
        try:
            yield stream.fileno()
        except (DatacrumbsError, OSError) as error:
            # The journal gets it from the command's own boundary.
            hint = getattr(error, "hint", "")
            print(f"datacrumbs: {error}", *([f"  hint: {hint}"] if hint else []), sep="\n", file=stream)
            raise
        finally:
            sys.stderr = journal


def clean_up(directory: Path, run: str, environment: Mapping[str, str]) -> None:
    """Remove what a run left behind, and what runs left that failed long ago.

    Args:
        directory: The run directory.
        run: The run id.
        environment: Of a unit's ``ExecStopPost``: log and environment file stay when the unit did not end well.
    """
    from datacrumbs.engine.kprobe_events import remove_left_definitions  # noqa: PLC0415 - prologs are quicker without

    remove_left_definitions()
    remove_forgotten(directory, time.time())
    try:
        RunFiles(directory, run).close()
    except DatacrumbsError:
        return  # a daemon runs under this id, though not this unit's
    if environment.get("SERVICE_RESULT", "success") == "success":
        log_file(directory, run).unlink(missing_ok=True)
        environment_file(directory, run).unlink(missing_ok=True)


class _Both:
    def __init__(self, first: TextIO, second: TextIO) -> None:
        self._streams = (first, second)

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


def _values(path: Path, text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or key not in KEYS:
            raise usage_error(f"{path}:{number}: {line[:80]!a}; expected KEY=VALUE with one of {', '.join(KEYS)}")
        if key in values:
            raise usage_error(f"{path}:{number}: {key}: given twice")
        values[key] = value
    return values


def _limit(path: Path, key: str, text: str) -> float:
    try:
        return LIMITS[key][1](text)
    except ValueError as error:
        raise usage_error(f"{path}: {key}: {str(error)[:200]}") from None


def _group(path: Path, text: str) -> Path:
    if not text.startswith("/"):
        raise usage_error(f"{path}: CGROUP: {text[:80]!a}; expected the absolute path of a control group")
    return Path(text)


def _awaited(path: Path, text: str) -> tuple[str, ...]:
    names = tuple(text.split(" ")) if text else ()
    if len(names) > _AWAITED_MOST or not all(_AWAITED.fullmatch(name) for name in names):
        raise usage_error(
            f"{path}: AWAIT_CGROUP: {text[:80]!a}; expected at most {_AWAITED_MOST} names of a control group, "
            "each with the name of the one above it, as in slurmstepd.scope/job_28"
        )
    return names


def _uid(path: Path, key: str, name: str) -> int:
    if name.isascii() and name.isdigit():  # as prolog and service write it, whatever accounts are called
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise usage_error(f"{path}: {key}: {name[:80]!a}: no such user on this host") from None
