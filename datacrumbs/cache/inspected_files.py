"""What was looked at while something was found out: files and directories by whose state it shows that nothing changed.

Python reports what it opens and lists by its audit events. What it does not report is added by
`looked_at`: names that are asked for without opening anything, and what a program reads that is run.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTLED_SECONDS = 2
"""What was changed less long ago may change again within the same tick of its file system's clock."""
LOADER_FILES = ("/etc/ld.so.cache", "/etc/ld.so.preload")
"""What the dynamic loader reads for every program."""

_OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")  # its state is known by other means
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_watching: list[Watched] = []
_explained: list[None] = []
_installed: list[None] = []


class Watched:
    """What is looked at from now on.

    Args:
        apart: A directory that is not looked at for what it says: where answers are kept.
    """

    def __init__(self, apart: Path | None = None) -> None:
        self.started = time.time()
        self.complete = True  # False once a program was run whose reads are unknown
        self._apart = f"{apart}/" if apart is not None else ""
        self._paths: set[str] = set()

    def add(self, path: str) -> None:
        """Note a path; a relative one belongs to the present working directory."""
        path = os.path.abspath(path)  # noqa: PTH100 - a name, not what links make of it
        if not f"{path}/".startswith((*_OF_THE_KERNEL, *filter(None, [self._apart]))) and not path.endswith(".pyc"):
            self._paths.add(path)

    def states(self) -> list[list[object]] | None:
        """Each path with its state, as JSON carries it; None when it would not show every change."""
        if not self.complete:
            return None
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if file and not _is_pythons_own(file):
                self._paths.add(file)
        found: list[list[object]] = [[path, _state(path)] for path in sorted(self._paths)]
        newest = max((state[-1] for _, state in found if isinstance(state, list)), default=0)
        return None if newest / 1e9 > self.started - SETTLED_SECONDS else found


def unchanged(states: list[list[object]]) -> bool:
    """Whether everything is as it was."""
    return all(_state(str(path)) == state for path, state in states)


@contextmanager
def watched(apart: Path | None = None) -> Iterator[Watched]:
    """Note what this process looks at in the block."""
    if not _installed:  # an audit hook stays for good
        _installed.append(None)
        sys.addaudithook(_notice)
    found = Watched(apart)
    _watching.append(found)
    try:
        yield found
    finally:
        _watching.remove(found)


def looked_at(*paths: Path | str) -> None:
    """Say what is looked at by its name alone, there or not, or by a program that is run."""
    for found in _watching:
        for path in paths:
            found.add(os.fspath(path))


@contextmanager
def explained(*paths: Path | str) -> Iterator[None]:
    """Run programs in the block of which it is known what they read: these paths, and what `looked_at` is given."""
    looked_at(*paths)
    _explained.append(None)
    try:
        yield
    finally:
        _explained.pop()


def may_differ_next_time() -> None:
    """Say that what was found out depended on more than files, such as how busy the host was: none of it is kept."""
    for found in _watching:
        found.complete = False


def _notice(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        path, _, flags = arguments
        if not (isinstance(flags, int) and flags & _WRITING):
            _add(path)
    elif event in {"os.listdir", "os.scandir"}:
        _add(arguments[0] or ".")
    elif event == "subprocess.Popen" and not _explained:
        may_differ_next_time()


def _add(path: object) -> None:
    if isinstance(path, (str, bytes)):
        for found in _watching:
            found.add(os.fsdecode(path))


def _state(path: str) -> list[int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - there are a thousand of them
    except (OSError, ValueError):
        return None
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


# The interpreter's version says what is in its library.
def _is_pythons_own(file: str) -> bool:
    own = f"{os.path.dirname(os.__file__)}/"  # noqa: PTH120
    return file.startswith(own) and "-packages/" not in file[len(own) :]
