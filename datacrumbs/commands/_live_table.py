"""A snapshot of a run as a table of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import chop_cells

from datacrumbs.model.layers import LAYERS
from datacrumbs.output import counted, printable
from datacrumbs.report.human_readable import duration, size
from datacrumbs.report.layout import Column, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Row = Mapping[str, Any]

FIELDS = {
    "busy": "recent_time_ns",
    "rate": "recent_calls",
    "throughput": "recent_bytes",
    "calls": "calls",
    "errors": "errors",
    "bytes": "bytes",
    "time": "time_ns",
}
"""Column -> what it shows of a row."""
NAME = "name"
HEADINGS = {"busy": "busy", "rate": "calls/s", "throughput": "bytes/s"}
"""Headings of columns that differ from the name of their order."""
_NAMES: dict[str, dict[str, Callable[[Row], str]]] = {
    "function": {"layer": lambda row: layer(row["layer"]), "function": lambda row: row["function"] + _of(row)},
    "layer": {"layer": lambda row: layer(row["layer"])},
    "file": {"file": lambda row: _known(row["path"], "(other files)")},
    "process": {
        "process": lambda row: _known(row["process"], "(others)"),
        "program": lambda row: _known(row["name"], ""),
        "rank": lambda row: _known(row["rank"], ""),
    },
    "rank": {
        "rank": lambda row: _known(row["rank"], "(none)"),
        "job": lambda row: _known(row["job_id"], ""),
        "step": lambda row: _known(row["step"], ""),
    },
}
_NUMBERS = {"process", "rank", "step"}
_FEW = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown, and in which order.

    Args:
        view: What a row is.
        sort: Column whose largest values come first, or ``NAME``.
    """

    view: str
    sort: str


def table_lines(
    document: Row, choice: Choice, width: int | None, limit: int | None = None, *, marked: bool = False
) -> list[str]:
    """The lines of a table, what it is about before it.

    Args:
        document: As `runs.snapshot_client.snapshot` gives it.
        choice: What is shown.
        width: Cells of a line; None for as many as it takes.
        limit: How many rows at most.
        marked: Whether the column that makes the order is to be seen.
    """
    rows = ordered(document["views"][choice.view], choice)[:limit]
    seconds = max(document["recent_ns"], 1) / 1e9
    columns = [
        Column(
            heading,
            tuple(printable(show(row)) for row in rows),
            right=heading in _NUMBERS,
            folds=heading not in _NUMBERS,
        )
        for heading, show in _NAMES[choice.view].items()
    ]
    for column, field in FIELDS.items():
        cells = tuple(_cell(column, row[field], seconds) for row in rows)
        mark = "*" if marked and column == choice.sort else ""
        columns.append(Column(HEADINGS.get(column, column) + mark, cells, right=True))
    more = len(document["views"][choice.view]) - len(rows) + document["left_out"][choice.view]
    return [*_about(document, width), "", *lay_out(columns, width), *([f"and {more:,} more"] if more else [])]


def ordered(rows: list[dict[str, Any]], choice: Choice) -> list[dict[str, Any]]:
    """Rows in the order of a choice; equal ones by their time so far, and then by their names."""
    names = list(_NAMES[choice.view].values())
    rows = sorted(rows, key=lambda row: [_natural(show(row)) for show in names])
    if choice.sort == NAME:
        return rows
    return sorted(rows, key=lambda row: (-(row[FIELDS[choice.sort]] or 0), -row["time_ns"]))


def layer(category: str) -> str:
    """A category as people read it."""
    return LAYERS.get(category, category)


def _about(document: Row, width: int | None) -> list[str]:
    elapsed = (document["time_us"] - document["begin_us"]) / 1e6
    whose = f"run {document['run']} of {document['user']} on {document['host']}: {document['state']}, {_clock(elapsed)}"
    calls = f"{counted(document['recorded'], 'call')} recorded, {document['counted']:,} only counted"
    window = f"busy, calls/s and bytes/s: of the last {document['recent_ns'] / 1e9:.1f} s"
    lines = [f"{whose}; {calls}, {document['lost']:,} lost", window]
    if document["sampled"]:
        lines.append("sampled: of functions with 1/N behind their names, one of N calls is seen")
    if document["counted"]:
        lines.append("calls that are only counted are added up in each layer, also where one is inside another")
    lines = [printable(line) for line in lines]
    return [part for line in lines for part in (chop_cells(line, width) if width else [line])]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _cell(column: str, value: int | None, seconds: float) -> str:
    return "" if value is None else _SHOWN[column](value, seconds)


def _share(value: int, seconds: float) -> str:
    share = value / 1e7 / seconds
    return f"{share:.{1 if share < _FEW else 0}f}%"


def _rate(value: int, seconds: float) -> str:
    rate = value / seconds
    return f"{rate:,.{1 if 0 < rate < _FEW else 0}f}"


_SHOWN: dict[str, Callable[[int, float], str]] = {
    "busy": _share,
    "rate": _rate,
    "throughput": lambda value, seconds: size(round(value / seconds)),
    "calls": lambda value, _: f"{value:,}",
    "errors": lambda value, _: f"{value:,}",
    "bytes": lambda value, _: size(value),
    "time": lambda value, _: duration(value / 1000) if value else "",
}


def _of(row: Row) -> str:
    return f" 1/{row['one_of']}" if row["one_of"] > 1 else ""


def _known(value: str | int | None, otherwise: str) -> str:
    return otherwise if value is None else str(value)


def _natural(text: str) -> tuple[bool, int, str]:
    return (not text.isdecimal(), int(text) if text.isdecimal() else 0, text)
