"""Calls that were added up in the kernel, as lines of the trace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.model.contract import BUCKETS
from datacrumbs.model.layouts import TALLY_ROW
from datacrumbs.model.record import NameKind, ProfileCause
from datacrumbs.trace.names import metadata_line
from datacrumbs.trace.notes import DEGRADED, Note
from datacrumbs.trace.text import hash_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from datacrumbs.model.plan import Plan
    from datacrumbs.model.record import FunctionCounts
    from datacrumbs.trace.names import NameTable

PROFILE = "datacrumbs_profile"
SAMPLED = "datacrumbs_sampled"
_LIMIT = 1 << 63
_HISTOGRAM = re.compile(r"[0-9]{1,3}:[0-9]{1,18}( [0-9]{1,3}:[0-9]{1,18})*", re.ASCII)
_TEXTS = ("category", "function", "symbol", "cause", "fhash", "times", "sizes")
_NUMBERS = ("begin", "end", "count", "errors", "bytes", "time_ns", "shortest_ns", "longest_ns")
_KEYS: dict[str, type] = dict.fromkeys(_TEXTS, str) | dict.fromkeys(_NUMBERS, int)
_REQUIRED = frozenset({"category", "function", "symbol", "cause", "begin", "end", "count", "errors"})


class ProfileWriter:
    """Makes the lines; keeps count of what the inclusion path leaves out.

    They are metadata lines, which every reader passes over. Of DFTracer's counters (``"ph":"C"``) some
    readers take no text and others count each as one call.

    Args:
        names: Where files are resolved.
        plan: The run's plan.
        epoch_offset_ns: What to add to CLOCK_MONOTONIC to get epoch time, in ns.
        tally: Takes TALLY_ROW rows of what is written.
    """

    def __init__(
        self, names: NameTable, plan: Plan, epoch_offset_ns: int, tally: Callable[[NDArray[np.void]], None]
    ) -> None:
        self._names = names
        self._tally = tally
        self._functions = plan.functions
        self._filtering = bool(plan.filters.inclusion_path)
        self._offset = epoch_offset_ns
        self.written = 0
        """Lines in the file."""
        self.filtered: NDArray[np.int64] = np.zeros((len(ProfileCause), len(self._functions)), np.int64)
        """Per ProfileCause and function: calls that the inclusion path left out."""
        self._lost = np.zeros_like(self.filtered)

    def lose(self, profiles: NDArray[np.void]) -> None:
        """Count record.PROFILE rows that there is no time to write."""
        np.add.at(self._lost, (profiles["cause"], profiles["function"]), profiles["count"].astype(np.int64))

    def lines(self, profiles: NDArray[np.void]) -> Iterator[str]:
        """The lines of record.PROFILE rows, those that name files first."""
        distinct, index = np.unique(profiles["file"], return_inverse=True)
        known = distinct != 0
        hashes, included = np.zeros(len(distinct), np.uint64), np.zeros(len(distinct), np.bool_)
        hashes[known], included[known], lines = self._names.find(distinct[known], NameKind.LOCATION)
        texts = [hash_text(number) if number else "" for number in hashes.tolist()]
        yield from lines
        is_written = included[index] | (not self._filtering)
        self._tally(_tally_rows(profiles[is_written], hashes[index][is_written]))
        for position, (row, place) in enumerate(zip(profiles, index.tolist(), strict=True)):
            if not is_written[position]:
                self.filtered[int(row["cause"]), int(row["function"])] += int(row["count"])
            else:
                self.written += 1
                yield self._line(row, texts[place])

    def notes(self, profiles: NDArray[np.void]) -> Iterator[Note]:
        """When the guard had a function only counted, for each function."""
        rows = profiles[profiles["cause"] == ProfileCause.GUARD]
        for function in np.unique(rows["function"]).tolist():
            own = rows[rows["function"] == function]
            begin, end = int(own["first"].min()), int(own["last"].max())
            yield Note(DEGRADED, begin, end, function, {"calls": int(own["count"].sum())})

    def settle(self, counts: Sequence[FunctionCounts]) -> None:
        """Move from ``counted`` to ``filtered`` what the inclusion path left out, to ``lost`` what was not written."""
        for cause in ProfileCause:
            key = f"counted_{cause.name.lower()}"
            gone = self.filtered[cause] + self._lost[cause]
            for function in np.flatnonzero(gone).tolist():
                filtered, lost, count = self.filtered[cause, function], self._lost[cause, function], counts[function]
                count.counted -= int(filtered + lost)
                count.causes[key] -= int(filtered + lost)
                count.filtered += int(filtered)
                if lost:
                    count.lost["unfinished"] = count.lost.get("unfinished", 0) + int(lost)

    def _line(self, row: np.void, file: str) -> str:
        function = self._functions[int(row["function"])]
        process = int(row["process"])
        begin, end = ((int(row[key]) + self._offset) // 1000 for key in ("first", "last"))
        arguments: list[tuple[str, str | int]] = [
            ("category", function.category),
            ("function", function.name),
            ("symbol", function.symbol),
            ("cause", ProfileCause(int(row["cause"])).name.lower()),
            *([("fhash", file)] if file else []),
            ("begin", begin),
            ("end", end),
            ("count", int(row["count"])),
            ("errors", int(row["errors"])),
        ]
        if row["sizes"].any():
            arguments += [("bytes", int(row["bytes"])), ("sizes", histogram_text(row["sizes"]))]
        if row["times"].any():
            arguments += [(f"{key}_ns", int(row[key])) for key in ("time", "shortest", "longest")]
            arguments.append(("times", histogram_text(row["times"])))
        return metadata_line(PROFILE, process, process, arguments)


def _tally_rows(profiles: NDArray[np.void], files: NDArray[np.uint64]) -> NDArray[np.void]:
    rows = np.zeros(len(profiles), TALLY_ROW)
    rows["file"], rows["name"] = files, profiles["file"]
    for key in ("process", "function", "last"):
        rows[key] = profiles[key]
    rows["counted"] = profiles["count"]
    rows["moving"] = profiles["sizes"].sum(axis=1)
    for figure, key in (("calls", "count"), ("errors", "errors"), ("bytes", "bytes"), ("time", "time")):
        for scope in ("in_layer", "on_file", "in_process"):
            rows[scope][figure] = profiles[key]
    return rows


def sampled_lines(plan: Plan) -> Iterator[str]:
    """For the head of a trace: which functions are sampled, and one of how many calls is in it."""
    for group in plan.groups:
        for function in group.functions if group.sample > 1 else ():
            about = [("category", function.category), ("function", function.name), ("symbol", function.symbol)]
            yield metadata_line(SAMPLED, 0, 0, [*about, ("one_of", group.sample)])


def histogram_text(buckets: NDArray[np.uint32]) -> str:
    """Calls by order of magnitude: ``"0:3 11:20"`` are 3 zeros and 20 numbers of 11 bits (1024 to 2047)."""
    return " ".join(f"{bits}:{buckets[bits]}" for bits in np.flatnonzero(buckets).tolist())


def histogram(text: str, buckets: int = BUCKETS) -> dict[int, int]:
    """Bits, or another number below ``buckets`` -> calls, from `histogram_text`.

    Raises:
        ValueError: The text is not a histogram.
    """
    if text and not _HISTOGRAM.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a histogram")
    found = {int(bits): int(count) for bits, _, count in (entry.partition(":") for entry in text.split())}
    if any(bits >= buckets for bits in found):
        raise ValueError(f"{text[:40]!r} is not a histogram")
    return found


def read_profile(arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ``args`` of a profile's line if they are what `ProfileWriter` writes, else None."""
    for key, kind in _KEYS.items():
        value = arguments.get(key)
        if value is None and key in _REQUIRED:
            return None
        if value is not None and (type(value) is not kind or (isinstance(value, int) and not 0 <= value < _LIMIT)):
            return None
    try:
        known = sum(histogram(arguments.get("times") or "").values())
        histogram(arguments.get("sizes") or "")
    except ValueError:
        return None
    if known and not all(isinstance(arguments.get(f"{key}_ns"), int) for key in ("time", "shortest", "longest")):
        return None
    return {key: arguments.get(key) for key in _KEYS}


def read_sampled(arguments: Mapping[str, Any]) -> dict[tuple[str, str, str], int]:
    """(category, name, symbol) -> one of how many calls, from the ``args`` of a line of `sampled_lines`."""
    category, name, symbol, one_of = (arguments.get(key) for key in ("category", "function", "symbol", "one_of"))
    if not all(isinstance(text, str) for text in (category, name, symbol)) or type(one_of) is not int or one_of < 1:
        return {}
    return {(str(category), str(name), str(symbol)): one_of}
