"""What was found out about traces, kept by who reads them while the traces stay as they are.

What is kept belongs to one state of the files and to the code that reads them and adds up. It is never worth more than
the trace: where anything is doubtful, that is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.cache import analysis_cache, inspected_files
from datacrumbs.installed import installed
from datacrumbs.report.plain_values import from_bytes, to_bytes
from datacrumbs.secure.file_systems import is_served_by_user, read_mounts
from datacrumbs.secure.files import READ_FLAGS
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.lines import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacrumbs.cache.inspected_files import Watched
    from datacrumbs.system import SystemPaths

Kind = TypeVar("Kind")
State = list[list[int]]
"""Of files: what identifies the content of each."""
MOST_FILES = 2048
"""Kept at once: seven for each run of a job, and more for views that are asked for."""
_KIND = "summary"


def files_state(paths: Sequence[Path]) -> State | None:
    """What identifies the content of files; None where one is not to be seen, or changed just now and may again.

    Also where a user's program serves one of them: it says of its files what it likes.
    """
    mounts = read_mounts()
    found = []
    for path in paths:
        try:  # what is open is as its server has it, not as it was remembered of it
            descriptor = os.open(path, READ_FLAGS & ~os.O_NOFOLLOW)
        except OSError:
            return None
        status = os.fstat(descriptor)
        is_served = is_served_by_user(descriptor, mounts)
        os.close(descriptor)
        if is_served or abs(time.time() - status.st_ctime) < inspected_files.SETTLED_SECONDS:
            return None
        found.append([status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return found


@dataclass(frozen=True, slots=True)
class SummaryCache:
    """Where values are kept.

    Args:
        directory: Of this user alone; None to keep nothing.
        gives: Whether what is there is given; else everything is found out again, and kept.
    """

    directory: Path | None = None
    gives: bool = True

    @classmethod
    def of_user(cls, paths: SystemPaths, environment: Mapping[str, str], *, gives: bool) -> SummaryCache:
        """That of this process's user; of root, one that only root can have written."""
        place = analysis_cache.own_directory(paths, environment)
        return cls(place and place / "reports", gives)

    def taken(self, kind: type[Kind], what: Sequence[object], state: State | None) -> Kind | None:
        """What was kept; None for nothing, and where files, or code that took part, changed since.

        Args:
            kind: Its type, see `from_bytes`.
            what: It is, as JSON carries it.
            state: Of the files that it is about.
        """
        if self.directory is None or state is None or not self.gives:
            return None
        data = analysis_cache.taken_bytes(self.directory, _KIND, _key(what, state))
        if data is None:
            return None
        looked_at, _, value = data.partition(b"\n")
        try:
            return from_bytes(kind, value) if inspected_files.unchanged(json.loads(looked_at)) else None
        except (ValueError, TypeError, LookupError, pl.exceptions.PolarsError):  # of another form
            return None

    def keep(
        self,
        what: Sequence[object],
        state: State | None,
        paths: Sequence[Path],
        value: object,
        by: Watched | None = None,
    ) -> None:
        """Keep a value, unless the files changed since their state was looked at.

        Args:
            what: It is, as JSON carries it.
            state: Of the files that it is about, before they were read.
            paths: These files.
            value: Of a type that `to_bytes` takes.
            by: What was looked at, and which code took part, where that is more than this package's.
        """
        looked_at = by.states() if by else []
        if self.directory is None or state is None or looked_at is None or files_state(paths) != state:
            return
        with suppress(TypeError, ValueError):  # of a provider's rule, which may give any value
            data = json.dumps(looked_at).encode() + b"\n" + to_bytes(value)
            analysis_cache.put_bytes(self.directory, _KIND, _key(what, state), data, MOST_FILES)


def _key(what: Sequence[object], state: State) -> list[object]:
    return [_code(), list(what), state]


# Of all code by which lines become sums.
@cache
def _code() -> str:
    library = Path(installed("data", LIBRARY)).read_bytes()
    code = analysis_cache.code_of("model", "trace", "report")
    return f"{code} {hashlib.sha256(library).hexdigest()} polars {pl.__version__}"
