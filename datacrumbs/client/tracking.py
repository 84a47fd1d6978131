"""Put the client library among an executable's needed libraries, and take it out again.

The file is never changed in place: patchelf works on a copy beside it, which then takes its name in one
step, so that a running program keeps its old file and a failure leaves the original.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.client import LIBRARY_NAME, client_library
from datacrumbs.client.executable import executable_of, machine_kind, open_executable
from datacrumbs.client.replacing import replacement
from datacrumbs.elf.asked_programs import ask
from datacrumbs.errors import DatacrumbsError, refusal, usage_error
from datacrumbs.secure import privilege
from datacrumbs.secure.files import first_unprotected, open_without_links
from datacrumbs.secure.user_rights import groups_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.client.executable import MachineKind

_OF_ANY_USER = ("PATH", "LANG", "LC_ALL")
"""What stays of root's environment once root has become another user."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """What came of tracking or untracking an executable.

    Args:
        path: The file that now has, or no longer has, the library; links resolved.
        changed: False when the executable was so before.
    """

    path: Path
    changed: bool


def track(executable: Path, output: Path | None = None, *, dry_run: bool = False) -> Tracking:
    """Make an executable load the client library, so that each of its processes marks itself.

    Args:
        executable: A dynamic executable of this machine's kind, as `become_owner` gives it: opened without links.
        output: Where the tracked one goes, likewise; the executable itself is replaced when it is None.
        dry_run: Change nothing, and say what would become of it.

    Raises:
        DatacrumbsError: (exit 1) for what is no dynamic executable of this machine, and when the file
            cannot be replaced; (exit 2) for a path that is no file; (exit 3) for a program with raised privileges.
    """
    library = client_library()
    # An entry of another installation, or of one that has moved, gives way to this one.
    return _with_entries(executable, output, (str(library),), dry_run=dry_run, kind=machine_kind(library))


def untrack(executable: Path, output: Path | None = None, *, dry_run: bool = False) -> Tracking:
    """Undo `track`, whichever installation's library it put in.

    Args:
        executable: A dynamic executable, as `become_owner` gives it.
        output: Where the untracked one goes, likewise; the executable itself is replaced when it is None.
        dry_run: Change nothing, and say what would become of it.

    Raises:
        DatacrumbsError: As for `track`.
    """
    return _with_entries(executable, output, (), dry_run=dry_run)


# The entries of the library become these, in a file of this kind if there is one.
def _with_entries(
    executable: Path, output: Path | None, wanted: tuple[str, ...], *, dry_run: bool, kind: MachineKind | None = None
) -> Tracking:
    with open_executable(executable) as (descriptor, source):
        if kind is not None and source.kind != kind:
            raise DatacrumbsError(f"{source.path}: made for {source.kind}; this installation's library is for {kind}")
        entries = _library_entries(source.needed)
        if dry_run:
            return Tracking(_target(source.path, output), changed=entries != wanted)
        if entries == wanted:
            return _unchanged(descriptor, source.path, output)
        words = [word for entry in entries for word in ("--remove-needed", entry)]
        words += [word for entry in wanted for word in ("--add-needed", entry)]
        return _rewrite(descriptor, source.path, output, words, wanted)


def become_owner(executable: Path, output: Path | None = None) -> tuple[Path, Path | None]:
    """Go on, for good, as the owner of the directory that is written to, where root must not act in it as root.

    Who can change a directory can exchange what root is working on. A directory that only root can change, with all
    above it, needs none of this.

    Returns:
        Both, with links resolved. What was decided holds for these: who resolves a name again may get another file.

    Raises:
        DatacrumbsError: (exit 3) when root alone owns the directory and others can change it; (exit 2) when there is
            no such directory.
    """
    # realpath leaves a loop of links as it is, which then cannot be opened
    places = Path(os.path.realpath(executable)), None if output is None else Path(os.path.realpath(output))
    if os.geteuid() != 0:
        return places
    directory = (places[1] or places[0]).parent
    try:
        unprotected = first_unprotected(directory, sticky=True)
        owner = _owner_of(directory)
    except OSError as error:
        raise usage_error(f"{directory}: {error.strerror}") from None
    if unprotected is not None:
        _become(owner, unprotected)
    return places


def _owner_of(directory: Path) -> int:
    descriptor = open_without_links(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)


def _become(owner: int, unprotected: Path) -> None:
    if owner == 0:
        raise refusal(
            f"{unprotected}: users other than root can change it; root does not write below it",
            "run the command as the user who owns the file, or give an OUTPUT that only root can change",
        )
    privilege.become(owner, *groups_of(owner))
    # From here on the owner can look into what is executed, and reads its environment.
    kept = {name: os.environ[name] for name in _OF_ANY_USER if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)


def _library_entries(needed: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in needed if name.rpartition("/")[2] == LIBRARY_NAME)


def _unchanged(descriptor: int, source: Path, output: Path | None) -> Tracking:
    target = _target(source, output)
    if target != source:
        with replacement(descriptor, target):
            pass
    return Tracking(target, changed=False)


def _rewrite(
    descriptor: int, source: Path, output: Path | None, words: Sequence[str], expected: tuple[str, ...]
) -> Tracking:
    patchelf = shutil.which("patchelf")
    if patchelf is None:
        raise DatacrumbsError("patchelf is not installed", hint="install the system package patchelf")
    target = _target(source, output)
    with replacement(descriptor, target) as copy:
        done = ask([patchelf, *words, copy.path], os.environ, descriptors=copy.descriptors)
        if done.returncode != 0:
            raise DatacrumbsError(f"{source}: patchelf: {done.stderr.strip() or f'exit {done.returncode}'}")
        changed = copy.open()
        try:
            needed = executable_of(changed, target).needed
        finally:
            os.close(changed)
        if _library_entries(needed) != expected:
            raise DatacrumbsError(f"{source}: patchelf left the needed libraries other than asked; nothing was changed")
    return Tracking(target, changed=True)


def _target(source: Path, output: Path | None) -> Path:
    if output is None:
        return source
    if output.is_dir():
        raise usage_error(f"{output}: a directory; expected the name of the file to write")
    if not output.parent.is_dir():
        raise usage_error(f"{output}: {output.parent} is not a directory")
    return output
