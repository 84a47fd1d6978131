"""Why a rule is not asked about a trace: calls that it needs are not all there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.output import counted
from datacrumbs.report.findings.thresholds import gates
from datacrumbs.report.nesting import runs
from datacrumbs.report.summary import late_files

if TYPE_CHECKING:
    from collections.abc import Collection

    from datacrumbs.report.call_selection import CallSelection
    from datacrumbs.trace.reader import TraceFile, Traces

_FEW = 10
"""Unseen calls that never matter."""


def of_selection(selection: CallSelection) -> str:
    """Why a selection of calls cannot be judged; empty when it can: one of whole processes."""
    parts = {
        "--name": selection.names,
        "--path": selection.paths,
        "--not-path": selection.not_paths,
        "--since": selection.since is not None,
        "--until": selection.until is not None,
    }
    given = [option for option, is_given in parts.items() if is_given]
    return f"only a selection of the calls is looked at ({', '.join(given)})" if given else ""


class Gaps:
    """What is missing in some traces."""

    def __init__(self, traces: Traces) -> None:
        self._files = traces.files
        self._runs = runs(traces)

    def of_file(self, position: int) -> str:
        """Why no rule may be asked about a trace; empty when each may."""
        trace = self._files[position]
        if not trace.complete:
            return trace.shortcoming
        if trace.run.get("inclusion_path"):
            return f"only calls on files below {trace.run['inclusion_path']} were recorded"
        footer = trace.footer or {}
        names = sum(footer.get(key, 0) for key in ("names_lost", "names_busy", "names_dropped", "names_unresolved"))
        return f"{counted(names, 'file name was', 'file names were')} lost" if names else ""

    def of_functions(self, position: int, functions: Collection[str]) -> str:
        """Why a rule about these functions may not be asked about a trace; empty when it may."""
        parts = [file for number, file in enumerate(self._files) if self._runs[number] == self._runs[position]]
        found = (_of_function(part, row) for part in parts for row in part.counts if row["name"] in functions)
        sampled = (
            f"{name} was sampled (1 of {one_of:,})"
            for part in parts
            for (_, name, _), one_of in part.sampled.items()
            if name in functions
        )
        late = (_late(part, functions) for part in parts)
        return next((reason for group in (sampled, found, late) for reason in group if reason), "")

    def has_any(self, position: int, functions: Collection[str]) -> bool:
        """Whether a trace has calls of any of these functions, as far as it says."""
        parts = [file for number, file in enumerate(self._files) if self._runs[number] == self._runs[position]]
        counts = [row for part in parts for row in part.counts]
        return not counts or any(row["name"] in functions and row["entered"] for row in counts)


def _of_function(trace: TraceFile, counts: dict[str, int]) -> str:
    name, entered = counts["name"], counts["entered"]
    lost = sum(value for key, value in counts.items() if key.startswith("lost_"))
    if lost:
        return f"{lost:,} of {entered:,} calls of {name} were lost"
    if counts.get("counted"):
        return f"{counted(counts['counted'], f'call of {name} was', f'calls of {name} were')} only added up"
    filtered = counts.get("filtered", 0) - counts.get("filtered_helper", 0)
    if filtered:
        return f"{counted(filtered, f'call of {name} was', f'calls of {name} were')} filtered"
    unseen = counts.get("unmatched", 0) + counts.get("in_flight", 0)
    if unseen > max(gates()["unseen"] * entered, _FEW):
        return f"the ends of {unseen:,} of {entered:,} calls of {name} were not seen"
    if trace.profiles and not trace.lines:
        return "calls were only added up"
    return ""


def _late(trace: TraceFile, functions: Collection[str]) -> str:
    providers = {str(row.get("provider", "")) for row in trace.counts if row["name"] in functions}
    files = [note for note in late_files(trace) if note.get("provider") in providers and "reason" not in note]
    return f"{files[0].get('file', 'a library')} was probed after it was mapped" if files else ""


def of_calls(traces: Traces) -> str:
    """Why it is not known what was inside of calls; empty when it is."""
    gaps = Gaps(traces)
    reasons = []
    for position, trace in enumerate(traces.files):
        reasons += [gaps.of_file(position), gaps.of_functions(position, {row["name"] for row in trace.counts})]
    return next((reason for reason in reasons if reason), "")
