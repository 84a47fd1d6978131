"""Root directories other than this process's: of a container, a chroot, or another process."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.inspected_files import looked_at
from datacrumbs.errors import usage_error
from datacrumbs.secure.file_systems import read_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

_OF_A_PROCESS = re.compile(r"(/proc/[0-9]+/root)(/.*)?")
_LINKS_MOST = 40  # as many as the kernel follows
_NOWHERE = Path("/dev/null/links")  # nothing can be there


@dataclass(frozen=True, slots=True)
class Root:
    """A root directory, in which programs see other files than this process does.

    Args:
        directory: Its real path on this host.
    """

    directory: Path = Path("/")

    @property
    def is_own(self) -> bool:
        """Whether it is that of this process."""
        return self.directory == Path("/")

    def real(self, path: Path) -> Path:
        """What an absolute path leads to in it, by this host's path; links are followed and lead nowhere outside."""
        if self.is_own:
            return path
        reached: list[str] = []
        pending = _parts(path)
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                del reached[-1:]
                continue
            place = self.directory.joinpath(*reached, part)
            target = _link(place)
            if target is None:
                reached.append(part)
                continue
            if links == _LINKS_MOST:
                return _NOWHERE
            looked_at(place)
            links += 1
            if target.is_absolute():
                reached.clear()
            pending += _parts(target)
        return self.directory.joinpath(*reached)

    def seen(self, path: Path) -> Path:
        """A path of this host as programs in the root see it; itself where it is not in there."""
        return Path("/") / path.relative_to(self.directory) if path.is_relative_to(self.directory) else path


# The last one first; without the root.
def _parts(path: Path) -> list[str]:
    return [part for part in reversed(path.parts) if part != "/"]


def _link(place: Path) -> Path | None:
    try:
        return place.readlink()
    except OSError:
        return None


def root_of(program: str, root: str) -> tuple[Root, str]:
    """The root directory in which a program runs, and what the program is called in there.

    Args:
        program: As a user names it; ``/proc/PID/root/...`` is one in the root directory of that process.
        root: The directory that the user names, also ``/proc/PID/root``; empty for this process's own.

    Raises:
        DatacrumbsError: (exit 2) when it is no directory, or one of a process that this host has no path for.
    """
    if not root and (match := _OF_A_PROCESS.fullmatch(program)) and match[2]:
        root, program = match.groups()
    return (_find(root) if root else Root()), program


def _find(text: str) -> Root:
    place = Path(text)
    try:
        problem = "" if stat.S_ISDIR(place.stat().st_mode) else "not a directory"
    except OSError as error:
        gone = error.errno == ENOENT and _OF_A_PROCESS.fullmatch(text.rstrip("/"))
        problem = "no such process" if gone else error.strerror or ""
    if problem:
        raise usage_error(f"{text}: {problem}", "give the directory that is the program's root")
    if _OF_A_PROCESS.fullmatch(text.rstrip("/")) is None:
        return Root(place.resolve())
    for candidate in _named(place):
        if _is_same(candidate, place):
            return Root(candidate)
    raise usage_error(
        f"{text}: no path on this host leads to that process's root",
        "give the directory in which the container's files are on this host",
    )


def _is_same(candidate: Path, place: Path) -> bool:
    try:
        return os.path.samestat(candidate.stat(), place.stat())
    except OSError:
        return False


# What the kernel calls it: by the mounts of the process, which may be called so here as well; or it is the root of all
# that the process sees, and then another of this host's mounts may show the same directory of the same file system.
def _named(place: Path) -> Iterator[Path]:
    yield place.readlink().resolve()
    theirs = [mount for mount in read_mounts(place.with_name("mountinfo")) if mount.point == b"/"]
    for mine in read_mounts():
        for mount in theirs[-1:]:
            shown, wanted = _plain(mine.directory), _plain(mount.directory)
            if mine.device == mount.device and wanted.is_relative_to(shown):
                yield (_plain(mine.point) / wanted.relative_to(shown)).resolve()


# Blanks and backslashes are written as octal numbers.
def _plain(text: bytes) -> Path:
    return Path(os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), text)))
