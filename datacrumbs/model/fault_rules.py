"""What a rule that looks for a fault in a program's input and output is, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import polars as pl


class Evidence(Protocol):
    """The calls of one run that a rule looks at. Frames are made when they are first asked for."""

    @property
    def calls(self) -> pl.DataFrame:
        """All calls, in no order.

        Columns: process (a number), tid, category, name, ts (epoch us), dur (us), ret, errno (null unless failed),
        bytes (null when unknown), fd, offset, count, whence, flags (null where a call has no such argument), path.
        """

    @property
    def requests(self) -> pl.DataFrame:
        """The calls at the border to the kernel, on files: what is not a pipe, a socket or a terminal.

        Columns: process, tid, category, kind (``read``, ``write``, ``open``, ``close``, ``seek``, ``sync``,
        ``metadata``), name, ts, dur, ret, errno, bytes, count, path, position (of the first byte; null when it is not
        known), pattern (``first``, ``consecutive``, ``sequential``, ``random``; null when it is not known), unit (bytes
        of a stripe, else of a block, of the file's file system; null when it is not known).
        """

    @property
    def ranks(self) -> Mapping[int, int]:
        """Process -> its rank in its job, where that is known."""

    @property
    def nested(self) -> pl.DataFrame:
        """All calls, those of a thread in the order of the nesting.

        Columns: those of ``calls``, and parent: the row of the call that each is inside of, or -1.
        """


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Where a rule's limits are passed.

    Args:
        process: Of the frames' column ``process``.
        time_us: What the calls in question took, over all threads of the process.
        evidence: What was counted, as a sentence.
        category: Of the layer whose calls these are.
        path: The file with the most of that time; empty for none in particular.
        grave: Whether it may be critical; else it is a warning at most.
    """

    process: int
    time_us: int
    evidence: str
    category: str
    path: str = ""
    grave: bool = True


@dataclass(frozen=True, slots=True)
class FindingRule:
    """One kind of fault.

    Args:
        name: Words joined by hyphens, unique.
        title: The fault, in a few words.
        threshold: The limits in words; ``{limit:,}`` and the like take values of ``limits``.
        advice: What to try.
        functions: Names of functions whose calls must be in the trace without a gap. The rule is not asked when the
            trace has none of them.
        judge: Takes the evidence and the limits, gives where the limits are passed.
        limits: By name.
    """

    name: str
    title: str
    threshold: str
    advice: str
    functions: frozenset[str]
    judge: Callable[[Evidence, Mapping[str, float]], Iterable[Suspicion]]
    limits: Mapping[str, float] = field(default_factory=dict)
