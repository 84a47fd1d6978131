"""Put the client library among an executable's needed libraries, and take it out again.

The file is never changed in place: patchelf works on a copy beside it, which then takes its name in one
step, so that a running program keeps its old file and a failure leaves the original.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.client import LIBRARY_NAME, client_library
from datacrumbs.client.executable import machine_kind, read_executable
from datacrumbs.errors import DatacrumbsError, usage_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Tracking:
    """What came of tracking or untracking an executable.

    Args:
        path: The file that now has, or no longer has, the library; links resolved.
        changed: False when the executable was so before.
    """

    path: Path
    changed: bool


def track(executable: Path, output: Path | None = None) -> Tracking:
    """Make an executable load the client library, so that each of its processes marks itself.

    Args:
        executable: A dynamic executable of this machine's kind.
        output: Where the tracked one goes; the executable itself is replaced when it is None.

    Raises:
        DatacrumbsError: (exit 1) for what is no dynamic executable of this machine, and when the file
            cannot be replaced; (exit 2) for a path that is no file; (exit 3) for a program with raised privileges.
    """
    library = client_library()
    kind = machine_kind(library)
    source = read_executable(executable)
    if source.kind != kind:
        raise DatacrumbsError(f"{source.path}: made for {source.kind}; this installation's library is for {kind}")
    # An entry of another installation, or of one that has moved, gives way to this one.
    entries = _library_entries(source.needed)
    if entries == (str(library),):
        return _unchanged(source.path, output)
    words = [word for entry in entries for word in ("--remove-needed", entry)]
    return _rewrite(source.path, output, [*words, "--add-needed", str(library)], (str(library),))


def untrack(executable: Path, output: Path | None = None) -> Tracking:
    """Undo `track`, whichever installation's library it put in.

    Args:
        executable: A dynamic executable.
        output: Where the untracked one goes; the executable itself is replaced when it is None.

    Raises:
        DatacrumbsError: As for `track`.
    """
    source = read_executable(executable)
    entries = _library_entries(source.needed)
    if not entries:
        return _unchanged(source.path, output)
    words = [word for entry in entries for word in ("--remove-needed", entry)]
    return _rewrite(source.path, output, words, ())


def _library_entries(needed: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in needed if name.rpartition("/")[2] == LIBRARY_NAME)


def _unchanged(source: Path, output: Path | None) -> Tracking:
    target = _target(source, output)
    if target != source:
        with _replacement(source, target):
            pass
    return Tracking(target, changed=False)


def _rewrite(source: Path, output: Path | None, words: Sequence[str], expected: tuple[str, ...]) -> Tracking:
    patchelf = shutil.which("patchelf")
    if patchelf is None:
        raise DatacrumbsError("patchelf is not installed", hint="install the system package patchelf")
    target = _target(source, output)
    with _replacement(source, target) as copy:
        done = subprocess.run([patchelf, *words, str(copy)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DatacrumbsError(f"{source}: patchelf: {done.stderr.strip() or f'exit {done.returncode}'}")
        if _library_entries(read_executable(copy).needed) != expected:
            raise DatacrumbsError(f"{source}: patchelf left the needed libraries other than asked; nothing was changed")
    return Tracking(target, changed=True)


def _target(source: Path, output: Path | None) -> Path:
    if output is None:
        return source
    target = output.resolve()
    if target.is_dir():
        raise usage_error(f"{output}: a directory; expected the name of the file to write")
    if not target.parent.is_dir():
        raise usage_error(f"{output}: {target.parent} is not a directory")
    return target


# Gives a copy of `source` beside `target`, with its mode, owner and attributes, that takes `target`'s name at the end.
@contextmanager
def _replacement(source: Path, target: Path) -> Iterator[Path]:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise DatacrumbsError(f"{target.parent}: cannot be written: {error.strerror}") from None
    copy = Path(name)
    try:
        with source.open("rb") as original, os.fdopen(descriptor, "wb") as stream:
            shutil.copyfileobj(original, stream)
        # patchelf must be able to write it; the mode of the original comes last.
        yield copy
        _copy_owner_and_mode(source, copy)
        _sync(copy)
        copy.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise DatacrumbsError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        copy.unlink(missing_ok=True)


def _copy_owner_and_mode(source: Path, copy: Path) -> None:
    status = source.stat()
    written = copy.stat()
    if (status.st_uid, status.st_gid) != (written.st_uid, written.st_gid):
        try:
            os.chown(copy, status.st_uid, status.st_gid)
        except PermissionError:
            raise DatacrumbsError(
                f"{source}: another user's or group's file; the new one could not be given back to them",
                hint="run the command as the file's owner or as root, or have it copied to your own first",
            ) from None
    shutil.copystat(source, copy)
    # The content is new, and whoever compares dates must see that.
    os.utime(copy, ns=(status.st_atime_ns, written.st_mtime_ns))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
