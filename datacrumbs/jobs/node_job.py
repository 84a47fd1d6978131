"""What prolog and epilog need to know of a job, whichever scheduler it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.system import SystemPaths


class NodeJob(Protocol):
    """A job, on this node."""

    @property
    def id(self) -> str:
        """Its id, as the scheduler's users know it, and by which its programs' marks name it."""

    @property
    def uid(self) -> int:
        """Whose it is."""

    @property
    def run(self) -> str:
        """The id of its run."""

    @property
    def note(self) -> str:
        """What its notes are called: as long as it is on this node, no other job has this name."""

    @property
    def groups(self) -> tuple[str, ...]:
        """What its control group may be called once it is there, each name with that of the group above it."""

    @property
    def group_maker(self) -> int:
        """User id that makes that group; root may always."""

    def probe_file(self) -> str:
        """The probe file that it is to be traced with; empty when it does not ask for tracing.

        Raises:
            DatacrumbsError: (exit 2) when its metadata is not exactly right.
        """


def note_path(paths: SystemPaths, note: str) -> Path:
    """Where the prolog of a job leaves the note for its epilog."""
    return paths.jobs / note
