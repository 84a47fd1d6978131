"""What the service keeps of a run on disk, so that it finds the run again after it was restarted.

All of it is root's, below a directory that users can only pass through. The name of each file is the run's id,
which the service has made.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from datacrumbs.daemon.run_files import let_read
from datacrumbs.daemon.unit import environment_file, log_file
from datacrumbs.runs.run_order import RUN_ID, RUNS
from datacrumbs.secure.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datacrumbs.runs.order_options import OrderOptions
    from datacrumbs.system import SystemPaths

_SUFFIX = ".run"
_PROBES, _PROBES_SUFFIX = "probes.", ".json.gz"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOGGER = logging.getLogger(f"datacrumbs.{RUNS.logger}")
LOG_TAIL = 16 << 10
FILE_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run of the service.

    Args:
        run: Its id.
        uid: Whose it is.
        share: To which share of the service it counts.
        started: When, in seconds since the epoch.
        label: What its user called it.
        as_unit: Whether systemd runs it.
        bytes: How large its trace may become.
        pid: Its process, if it has one yet.
        born: When that process began, as the kernel counts it: ids of processes are used again.
    """

    run: str
    uid: int
    share: int
    started: int
    label: str
    as_unit: bool
    bytes: int = 0
    pid: int = 0
    born: int = 0

    def with_process(self, pid: int) -> KeptRun:
        """The same run with its process."""
        return replace(self, pid=pid, born=born(pid))

    @property
    def is_alive(self) -> bool:
        """Whether its process is there."""
        return bool(self.pid) and born(self.pid) == self.born != 0


class KeptRuns:
    """The files of the service's runs.

    Args:
        paths: The installation.
    """

    def __init__(self, paths: SystemPaths) -> None:
        self._paths = paths

    def make(self, run: KeptRun, signed: bytes, options: OrderOptions) -> None:
        """Write the probe file and the environment file of a run, and what is kept of it.

        Raises:
            OSError: When there is no room; `remove` has to follow.
        """
        probes = self._probes(run.run)
        with os.fdopen(os.open(probes, _NEW_FILE, 0o400), "wb") as stream:
            stream.write(signed)
            let_read(stream.fileno(), run.uid)
        values = {
            "PROBE_FILE": probes,
            "USER": run.uid,
            "RUN_ID": run.run,
            "MARKS": "named",
            "DURATION": f"{options.milliseconds}ms",
            "MAX_SIZE": f"{options.bytes}B",
            **({"MODE": options.mode} if options.mode else {}),
        }
        text = "".join(f"{key}={value}\n" for key, value in values.items())
        with os.fdopen(os.open(environment_file(self._paths.run, run.run), _NEW_FILE, 0o600), "w") as stream:
            stream.write(text)
        self.keep(run)

    def keep(self, run: KeptRun) -> None:
        """Write what is kept of a run, whole or not at all."""
        write_atomically(self._kept(run.run), json.dumps(asdict(run)).encode(), 0o600)

    def remove(self, run: str) -> None:
        """Remove all that there is of a run."""
        doomed = (
            self._probes(run),
            environment_file(self._paths.run, run),
            log_file(self._paths.run, run),
            self._kept(run),
        )
        for path in doomed:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def all(self) -> Iterator[KeptRun]:
        """What is kept of all runs.

        Of one whose file was written in part only, or by a version that kept other things, nothing stays: where that
        run goes on, it ends at its time limit.
        """
        for path in sorted(self._paths.runs.iterdir()):
            run = path.name.removesuffix(_SUFFIX).removeprefix(_PROBES).removesuffix(_PROBES_SUFFIX)
            if not RUN_ID.fullmatch(run):
                continue
            if path.suffix == _SUFFIX:
                kept = kept_run(path.read_bytes()[:FILE_LIMIT])
                if kept is not None and kept.run == run:
                    yield kept
                    continue
                _LOGGER.warning("%s: not of this version; the run is given up", path)
                self.remove(run)
            elif not self._kept(run).exists():
                self.remove(run)

    def trace(self, run: str) -> str:
        """Where the trace of a run is; empty until programs are traced."""
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads((self._paths.run / f"datacrumbs-{run}.ready").read_bytes())["trace"])
        return ""

    def log_tail(self, run: str) -> str:
        """The end of a run's log; empty where there is none."""
        with suppress(OSError), log_file(self._paths.run, run).open("rb") as stream:
            stream.seek(max(os.fstat(stream.fileno()).st_size - LOG_TAIL, 0))
            return stream.read(LOG_TAIL).decode("utf-8", "replace")
        return ""

    # Its first word is part of the trace's name.
    def _probes(self, run: str) -> Path:
        return self._paths.runs / f"{_PROBES}{run}{_PROBES_SUFFIX}"

    def _kept(self, run: str) -> Path:
        return self._paths.runs / f"{run}{_SUFFIX}"


def kept_run(data: bytes) -> KeptRun | None:
    """What is kept of a run, without fields that a later version has beside; None for what this version cannot read."""
    try:
        document = json.loads(data)
        values = {field.name: document[field.name] for field in fields(KeptRun) if field.name in document}
        if any(type(values[field.name]).__name__ != field.type for field in fields(KeptRun) if field.name in values):
            return None
        return KeptRun(**values)
    except (ValueError, TypeError, RecursionError):
        return None


def born(pid: int) -> int:
    """When a process began, in the kernel's ticks; 0 for one that has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read(FILE_LIMIT).rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])
