"""One file of a run: what it says of itself, and whether anything is missing."""

from __future__ import annotations

# What is kept of a file is read back by the kinds of its attributes, which are looked up for that.
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003
from typing import Any

from datacrumbs.output import counted
from datacrumbs.trace.corrections import ClockReading, Correction
from datacrumbs.trace.mounts import Mount  # noqa: TC001
from datacrumbs.trace.sums import TimeSums  # noqa: TC001


@dataclass(slots=True)
class TraceFile:
    """One file, and whether all of the run is in it.

    Attributes:
        path: Where it is.
        host: Node name, or empty.
        run: What the head says: user, version, inclusion_path, run_id, part; empty for a trace that is not ours.
        counts: Conservation counts per function, from the footer.
        provenance: From the footer.
        footer: Totals of the footer; None when there is none.
        lines: Calls read.
        skipped: Lines that no parser takes.
        damage: What is wrong with the file, or empty.
        closed: Whether the last line is there.
        events: Process lifecycle, in order.
        notes: What happened in intervals, such as losses.
        sampled: (category, name, symbol) -> one of how many calls is in the trace, where not all are.
        mounts: Mount point -> its file system, see `node_mounts`.
        clocks: Readings of the node's clocks.
        correction: What was added to the times of its calls and profiles, by those readings.
        sums: (category, name, nested), and the durations of these calls in nanoseconds, of the whole run.
        profiles: Lines read that have calls added up.
        absent: Which other files of the same run are missing, or empty.
        behind: Whether bytes that are no part of the trace follow its last line.
        live: Whether some process has the file open for writing.
    """

    path: Path
    host: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    counts: list[dict[str, Any]] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)
    footer: dict[str, int] | None = None
    lines: int = 0
    skipped: int = 0
    damage: str = ""
    closed: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    sampled: dict[tuple[str, str, str], int] = field(default_factory=dict)
    sums: list[tuple[tuple[str, str, bool], TimeSums]] = field(default_factory=list)
    mounts: dict[str, Mount] = field(default_factory=dict)
    clocks: list[ClockReading] = field(default_factory=list)
    correction: Correction = field(default_factory=Correction)
    profiles: int = 0
    absent: str = ""
    behind: bool = False
    live: bool = False

    @property
    def complete(self) -> bool:
        """True only when nothing hints at anything missing."""
        return not self.shortcoming

    @property
    def lost(self) -> int:
        """How many calls should have a line and have none, as far as the trace says."""
        return sum(calls for cause, calls in (self.footer or {}).items() if cause.startswith("lost_"))

    @property
    def lacking(self) -> str:
        """Why figures made of the trace are not those of the run; empty when they are."""
        if self.shortcoming or not self.lost:
            return self.shortcoming
        entered = (self.footer or {}).get("entered", 0)
        return f"whole, but {self.lost:,} of {counted(entered, 'call')} {'was' if self.lost == 1 else 'were'} lost"

    @property
    def shortcoming(self) -> str:
        """Why the trace is not known to be complete; empty when it is."""
        wrong = self._wrong_with_the_file()
        if wrong:
            return wrong
        if self.footer is None:
            if self.run or not self.closed:
                return "cut short: no footer"
            return "not a DataCrumbs trace: it does not say whether calls are missing"
        if not self.closed:
            return "cut short: no last line"
        read = {"lines": (self.lines, "calls"), "profiles": (self.profiles, "profiles")}
        differing = [
            f"damaged: {found} of {self.footer[key]} {what} are in the file"
            for key, (found, what) in read.items()
            if self.footer.get(key, found) != found
        ]
        return next(iter(differing), self.absent or _not_probed(self.footer))

    def _wrong_with_the_file(self) -> str:
        if self.live and not self.closed:
            return "not finished: the run is still going on"
        if self.behind:
            return "damaged: bytes that are no part of it follow its end"
        if self.damage:
            return f"cut short: {self.damage}"
        return f"damaged: {counted(self.skipped, 'line')} cannot be read" if self.skipped else ""


# The file is whole, but a library that was asked for is not in it.
def _not_probed(footer: dict[str, int]) -> str:
    libraries, files = (footer.get(key, 0) for key in ("files_not_probed", "mappings_lost"))
    if libraries:
        them = ("library of the selected providers was", "libraries of the selected providers were")
        return f"{counted(libraries, *them)} not probed"
    return f"{counted(files, 'mapped file was', 'mapped files were')} not looked at" if files else ""


def run_key(file: TraceFile) -> tuple[str, str, str]:
    """What the files of one run have in common; the run's id, its last part, is empty where the trace does not say."""
    return file.host, str(file.run.get("user", "")), str(file.run.get("run_id", ""))


def look_for_parts(files: list[TraceFile]) -> None:
    """Note which parts of their runs are missing: a run in several files is complete only with all of them."""
    parts: dict[tuple[str, str, str], set[int]] = {}
    for file in files:
        parts.setdefault(run_key(file), set()).add(int(file.run.get("part", 0)))
    for file in files:
        part, here = int(file.run.get("part", 0)), parts[run_key(file)]
        absent = [str(number) for number in range(part) if number not in here]
        if file.footer and file.footer.get("continued") and part + 1 not in here:
            absent.append(str(part + 1))
        if absent:
            file.absent = f"part of a run: part {', '.join(absent)} is not here"
