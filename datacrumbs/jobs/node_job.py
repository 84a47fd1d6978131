"""A job on this node, as prolog and epilog see it, whichever scheduler it is of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class NodeJob(ABC):
    """A job, on this node.

    Args:
        id: Its id, as the scheduler's users know it, and by which its programs' marks name it.
        uid: Whose it is.
    """

    id: str
    uid: int

    SCHEDULER: ClassVar[str]
    """Its notes begin with this word."""

    @property
    def run(self) -> str:
        """The id of its run: its own, unless it can begin more than once."""
        return self.id

    @property
    def note(self) -> str:
        """What its notes are called: as long as it is on this node, no other job has this name."""
        return self.note_of(self.id)

    @property
    def groups(self) -> tuple[str, ...]:
        """What its control group may be called once it is there, each name with that of the group above it."""
        return ()

    @property
    def group_maker(self) -> int:
        """User id that makes that group; root may always."""
        return 0

    @abstractmethod
    def probe_file(self) -> str:
        """The probe file that it is to be traced with; empty when it does not ask for tracing.

        Raises:
            DatacrumbsError: (exit 2) when its metadata is not exactly right.
        """

    @classmethod
    def note_of(cls, job: str) -> str:
        """What the notes of a job are called, by its id."""
        return f"{cls.SCHEDULER}-{job}"
