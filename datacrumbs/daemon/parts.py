"""The files of one run's trace: the first, and those in which it continues."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from datacrumbs.daemon.run_files import create_trace_in_place, part_name, remove_trace

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.daemon.identity import Owner
    from datacrumbs.daemon.part_process import PartProcess

_MEGABYTE = 1_000_000


class Parts:
    """Makes a run's files, and knows when one is full.

    Args:
        directory: The trace directory.
        components: Path of the first file below it.
        owner: Whose they are.
        rotate_megabytes: Size of a file after which another one is due, or 0.
        maker: Makes it.
        stream: The first file where it is open already: then it stays, whatever becomes of the run.

    Raises:
        DatacrumbsError: as `create_trace` does.
    """

    def __init__(
        self,
        directory: Path,
        components: tuple[str, ...],
        owner: Owner,
        *,
        rotate_megabytes: float = 0,
        maker: PartProcess | None = None,
        stream: BinaryIO | None = None,
    ) -> None:
        self._directory = directory
        self._components = components
        self._rotate = rotate_megabytes * _MEGABYTE if maker else 0
        self._maker = maker
        self._number = 0
        self._place = -1
        self._given = stream is not None
        if stream is None:
            stream, self._place = create_trace_in_place(directory, components, owner)
        self.stream: BinaryIO = stream

    @property
    def first(self) -> Path:
        """The run's first file."""
        return self._directory.joinpath(*self._components)

    @property
    def count(self) -> int:
        """How many files there are."""
        return self._number + 1

    @property
    def current(self) -> Path:
        """The file that is written."""
        return self._directory.joinpath(*part_name(self._components, self._number))

    @property
    def full(self) -> bool:
        """Whether it is time for another file."""
        state = self._state() if self._rotate > 0 else None
        return state is not None and state.st_size >= self._rotate

    @property
    def removed(self) -> bool:
        """Whether the file that is written has been removed."""
        state = self._state()
        return state is not None and state.st_nlink == 0

    # A file system of the network may know the file's user alone, and not who this process is: Kerberos, AFS.
    def _state(self) -> os.stat_result | None:
        with suppress(OSError):
            return os.fstat(self.stream.fileno())
        return None

    def advance(self) -> None:
        """Go on to the next file.

        Raises:
            DatacrumbsError: It cannot be made; the run then goes on in the file that it has, of any size.
        """
        self._rotate, rotate = 0, self._rotate
        name = part_name(self._components, self._number + 1)[-1]
        assert self._maker is not None  # noqa: S101 - no file is `full` without
        stream = os.fdopen(self._maker.make(name, self._place), "wb", buffering=0)
        self._number += 1
        self._rotate = rotate
        self.stream.close()
        self.stream = stream

    def remove_first(self) -> None:
        """Remove what never began."""
        if not self._given:
            remove_trace(self._directory, self._components)

    def close(self) -> None:
        """Close the file that is written; idempotent."""
        self.stream.close()
        if self._place >= 0:
            os.close(self._place)
            self._place = -1
