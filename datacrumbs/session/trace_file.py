"""The trace of a recorded command: made with its user's rights and owned by that user, never over another file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.run_files import SUFFIX, create_trace
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.file_systems import ServedError, is_served_by_user, open_unasked
from datacrumbs.secure.user_rights import rights_of

if TYPE_CHECKING:
    from datacrumbs.session.invoker import Invoker

_TRIES = 1000


class NewTrace:
    """An open, empty trace.

    Args:
        path: Where.
        user: Whose; the file is made with this user's rights.
        may_vary: Take the next free name where this one is taken.

    Raises:
        DatacrumbsError: The file cannot be made.
    """

    def __init__(self, path: Path, user: Invoker, *, may_vary: bool) -> None:
        self._user = user
        with rights_of(user.uid, user.gid, user.groups):
            of_root = os.getuid() == 0
            directory = _directory_unasked(path) if of_root else _directory(path)
            for turn in range(_TRIES):
                name = f"{path.name.removesuffix(SUFFIX)}-{turn + 1}{SUFFIX}" if turn else path.name
                self.path = directory / name
                if may_vary and os.path.lexists(self.path):
                    continue
                try:
                    self.stream = create_trace(directory, (name,), Owner(user.uid, user.gid, user.name))
                except DatacrumbsError as error:
                    if may_vary and os.path.lexists(self.path):
                        continue  # another one was faster
                    is_directory = os.path.isdir(self.path)  # noqa: PTH112 - which fails where it may not be looked at
                    message = f"{path}: is a directory" if is_directory else error.message
                    raise DatacrumbsError(message, hint="give another file with -o FILE") from None
                if of_root and is_served_by_user(self.stream.fileno()):  # mounted meanwhile
                    self.remove()
                    self.stream.close()
                    raise _served(directory)
                break

    def remove(self) -> None:
        """Remove what never began, unless another file has its name by now."""
        with suppress(OSError), rights_of(self._user.uid, self._user.gid, self._user.groups):
            if os.path.samestat(self.path.lstat(), os.fstat(self.stream.fileno())):
                self.path.unlink()


# A process of root's looks for it, and holds the trace until its end: what serves the file system could hold that
# process for ever.
def _directory_unasked(path: Path) -> Path:
    try:
        descriptor = open_unasked(path.parent)
    except ServedError:
        raise _served(path.parent) from None
    except OSError as error:
        raise _no_directory(path, error.strerror or "") from None
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    finally:
        os.close(descriptor)


def _served(directory: Path) -> DatacrumbsError:
    return DatacrumbsError(
        f"{directory}: on a file system that a user's program serves (FUSE)",
        hint="give a file on another one with -o FILE, and copy it there afterwards",
    )


def _directory(path: Path) -> Path:
    try:
        return path.parent.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else "a loop of symbolic links"
        raise _no_directory(path, why or "") from None


def _no_directory(path: Path, why: str) -> DatacrumbsError:
    return DatacrumbsError(f"{path.parent}: {why}", hint="give another file with -o FILE")
