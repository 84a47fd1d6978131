"""What a run has recorded so far, as a document of bounded size, for those who watch it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from datacrumbs.trace.text import raw_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from datacrumbs.model.plan import Plan
    from datacrumbs.trace.lines import Lines
    from datacrumbs.trace.names import NameTable
    from datacrumbs.trace.processes import ProcessTable
    from datacrumbs.trace.ranks import Rank

_Key = TypeVar("_Key", bound="Hashable")
VERSION = 1
RUNNING, ENDED, CUT_SHORT = "running", "ended", "cut short"
FIGURES = ("calls", "errors", "bytes", "time")
_COUNTS = ("nested", "moving", "counted")
_COLUMNS = (*_COUNTS, *FIGURES, *(f"recent_{figure}" for figure in FIGURES))
SCOPES = {
    "function": "in_layer",
    "layer": "in_layer",
    "file": "on_file",
    "process": "in_process",
    "rank": "in_process",
}
"""View -> what its sums count once."""
ROWS = 64
"""How many rows a view has of each order, so that every way to sort it shows the right ones first."""
LONGEST_TEXT = 1024
"""Letters of a name; a longer one has its end."""
_OTHERS = (1 << 64) - 1
_SHORTEST_WINDOW_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What the figures of a moment are about.

    Args:
        state: ``RUNNING``, ``ENDED`` or ``CUT_SHORT``.
        recorded: Calls with lines of their own.
        lost: Calls that should be in the trace and are not, as far as is known.
    """

    state: str
    recorded: int
    lost: int


class Snapshots:
    """Makes the documents of a run; `docs/watch-a-run.md` says what is in them.

    Args:
        plan: The run's plan.
        about: What the run is: texts by key.
        names: The run's names; what is hidden in the trace is hidden here.
        processes: Its processes.
        lines: Where its calls are added up.
        epoch_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC, in ns.
    """

    def __init__(  # noqa: PLR0917 - the parts of a writer
        self,
        plan: Plan,
        about: dict[str, str],
        names: NameTable,
        processes: ProcessTable,
        lines: Lines,
        epoch_offset_ns: int,
    ) -> None:
        functions = [
            (function.category, function.name, group.sample) for group in plan.groups for function in group.functions
        ]
        # Several functions of a plan may have one name, such as `fread` and `fread_unlocked`; they are one row.
        self._functions, self._rows = _numbered(functions)
        self._categories, self._layers = _numbered([category for category, _, _ in functions])
        self._about = about
        self._names = names
        self._processes = processes
        self._lines = lines
        self._offset = epoch_offset_ns
        self._begin = self._marked = time.monotonic_ns()

    def document(self, standing: Standing) -> bytes:
        """A snapshot as a line of JSON; the figures called recent are those since the last mark, and a mark is set when
        the last one is half a second old.
        """
        now = time.monotonic_ns()
        rows = self._lines.tally()
        views = {view: self._view(view, rows) for view in SCOPES}
        window = now - self._marked
        if window >= _SHORTEST_WINDOW_NS:
            self._lines.mark_tally()
            self._marked = now
        document = {
            "schema_version": VERSION,
            **self._about,
            "state": standing.state,
            "begin_us": (self._begin + self._offset) // 1000,
            "time_us": (now + self._offset) // 1000,
            "recent_ns": window,
            "recorded": standing.recorded,
            "counted": int(rows["counted"].sum()),
            "lost": standing.lost,
            "sampled": any(sample > 1 for _, _, sample in self._functions),
            "views": {view: shown for view, (shown, _) in views.items()},
            "left_out": {view: left_out for view, (_, left_out) in views.items()},
        }
        return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"

    def _view(self, view: str, rows: NDArray[np.void]) -> tuple[list[dict[str, Any]], int]:
        keys: NDArray[Any]
        describe: Callable[[Any], dict[str, Any]]
        if view == "function":
            keys, describe = self._rows[rows["function"]], self._function
        elif view == "layer":
            keys, describe = self._layers[rows["function"]], lambda key: {"layer": self._categories[key]}
        elif view == "file":
            rows = rows[rows["file"] != 0]
            keys, describe = rows["file"], self._files(rows)
        elif view == "process":
            keys, describe = rows["process"], self._process
        else:
            keys, ranks = self._ranks(rows["process"])
            describe = lambda key: _described(ranks[key])  # noqa: E731
        found, sums = _summed(keys, rows, SCOPES[view])
        best = _best(sums)
        shown = [{**describe(found[at]), **_row(sums, at, nested=SCOPES[view] == "in_layer")} for at in best]
        return shown, len(found) - len(best)

    def _function(self, number: int) -> dict[str, Any]:
        category, name, sample = self._functions[number]
        return {"layer": category, "function": name, "one_of": sample}

    def _files(self, rows: NDArray[np.void]) -> Callable[[int], dict[str, Any]]:
        hashes, first = np.unique(rows["file"], return_index=True)
        names = dict(zip(hashes.tolist(), rows["name"][first].tolist(), strict=True))
        return lambda key: {"path": None if key == _OTHERS else _bounded(self._names.text(names[key]))}

    def _process(self, process: int) -> dict[str, Any]:
        if not process:
            return {"process": None, "name": None, "rank": None}
        name, rank = self._processes.about(process)
        return {"process": process, "name": _bounded(name), "rank": rank.rank}

    def _ranks(self, processes: NDArray[np.uint32]) -> tuple[NDArray[np.int64], list[Rank]]:
        distinct, index = np.unique(processes, return_inverse=True)
        ranks: dict[tuple[str, int | None, int | None], tuple[int, Rank]] = {}
        numbers = np.empty(len(distinct), np.int64)
        for place, process in enumerate(distinct.tolist()):
            rank = self._processes.about(process)[1]
            numbers[place] = ranks.setdefault((rank.job_id, rank.step, rank.rank), (len(ranks), rank))[0]
        return numbers[index], [rank for _, rank in ranks.values()]


# The distinct ones of some keys, and for each key the number of its own.
def _numbered(keys: Sequence[_Key]) -> tuple[list[_Key], NDArray[np.int64]]:
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return list(numbers), np.array([numbers[key] for key in keys], np.int64)


def _described(rank: Rank) -> dict[str, Any]:
    return {"job_id": rank.job_id or None, "step": rank.step, "rank": rank.rank}


def _bounded(text: str) -> str:
    text = raw_bytes(text).decode("utf-8", "replace")
    return text if len(text) <= LONGEST_TEXT else f"...{text[3 - LONGEST_TEXT :]}"


# Sums by key; of each figure those of all calls, and those of the calls since the last mark.
def _summed(keys: NDArray[Any], rows: NDArray[np.void], scope: str) -> tuple[list[int], dict[str, NDArray[np.int64]]]:
    if not len(rows):
        return [], dict.fromkeys(_COLUMNS, np.zeros(0, np.int64))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    columns = [rows[name] for name in _COUNTS]
    columns += [rows[place][figure] for place in (scope, f"{scope}_before") for figure in FIGURES]
    sums = np.add.reduceat(np.stack(columns, axis=1).view(np.int64)[order], starts, axis=0).T
    before = sums[-len(FIGURES) :]
    # What a call was found to be inside of afterwards is taken back.
    before[:] = np.maximum(sums[len(_COUNTS) : -len(FIGURES)] - before, 0)
    return ordered[starts].tolist(), dict(zip(_COLUMNS, sums, strict=True))


def _best(sums: dict[str, NDArray[np.int64]]) -> list[int]:
    chosen: set[int] = set()
    for column in (*FIGURES, *(f"recent_{figure}" for figure in FIGURES), "nested"):
        largest = np.argsort(-sums[column], kind="stable")[:ROWS]
        chosen.update(largest[sums[column][largest] > 0].tolist())
    return sorted(chosen, key=lambda at: -int(sums["time"][at]))


def _row(sums: dict[str, NDArray[np.int64]], at: int, *, nested: bool) -> dict[str, int | None]:
    row: dict[str, int | None] = {}
    for prefix in ("", "recent_"):
        for figure in FIGURES:
            key = f"{prefix}{figure}" + ("_ns" if figure == "time" else "")
            row[key] = int(sums[f"{prefix}{figure}"][at])
    if not sums["moving"][at]:
        row["bytes"] = row["recent_bytes"] = None
    row["counted"] = int(sums["counted"][at])
    return {**row, "nested": int(sums["nested"][at])} if nested else row
