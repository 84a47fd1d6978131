"""What a prolog leaves on its node: for its epilog which run it started, for the job's user what there is to know.

All of it is root's. The epilog does not compute the run's name again: what it sees of a job differs from what the
prolog saw.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.daemon.run_files import let_read, locked
from datacrumbs.output import printable
from datacrumbs.runs.kept_run import FILE_LIMIT, KeptRun, kept_run
from datacrumbs.secure.files import read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datacrumbs.system import SystemPaths

SAY, PRELOAD, GROUP = "say", "preload", "group"
"""What lines for those who start tasks begin with: words for the job's output, a library, and a control group in which
programs are traced without it."""
_LOOK_SECONDS = 0.01


class JobNotes:
    """The notes of one job.

    Args:
        paths: The installation.
        note: What they are called, as `NodeJob.note` has it.
    """

    def __init__(self, paths: SystemPaths, note: str) -> None:
        self._note = paths.jobs / note
        self._task = self._note.with_name(f"{self._note.name}.task")

    @contextmanager
    def held(self, seconds: float) -> Iterator[bool]:
        """Keep other processes that ask for this from the notes and their run; gives whether that was possible in time.

        Args:
            seconds: How long to wait until no other one does.
        """
        path = self._note.with_name(f"lock-{self._note.name}")  # no note has such a name
        descriptor = _lock_within(path, seconds)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                path.unlink(missing_ok=True)
                os.close(descriptor)

    @property
    def run(self) -> KeptRun | None:
        """The run that is to be ended; None when there is none.

        Raises:
            DatacrumbsError: (exit 3) when others than root may change the note.
        """
        if not self._note.exists():
            return None
        return kept_run(read_bounded(self._note, FILE_LIMIT, protected=True))

    def keep(self, run: KeptRun | None) -> None:
        """Write down which run is to be ended; None for none, which the epilog has to look at as well."""
        write_atomically(self._note, json.dumps(asdict(run) if run else {}).encode(), 0o600)

    def tell(self, uid: int, lines: Sequence[tuple[str, str]]) -> None:
        """Write what those who start tasks are to say and to do, for the job's user alone to read."""
        text = "".join(f"{kind} {printable(words)}\n" for kind, words in lines)
        descriptor, name = tempfile.mkstemp(dir=self._task.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
            let_read(descriptor, uid)
        Path(name).rename(self._task)

    def remove(self) -> None:
        """Remove both."""
        for path in (self._note, self._task):
            with suppress(OSError):
                path.unlink(missing_ok=True)


# Of this process alone: what it forks goes on for as long as the run.
def _lock_within(path: Path, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        try:
            return locked(path, fcntl.lockf)
        except BlockingIOError:
            if time.monotonic() >= end:
                return None
        time.sleep(_LOOK_SECONDS)
