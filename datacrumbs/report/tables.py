"""A report for people."""

from __future__ import annotations

import csv
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.text import Text

from datacrumbs.output import counted, first_few, printable
from datacrumbs.report.human_readable import duration, moment, size
from datacrumbs.report.job_ranks import ranges
from datacrumbs.report.layout import Column, lay_out
from datacrumbs.report.nanoseconds import NANOSECONDS
from datacrumbs.report.spreadsheets import harmless
from datacrumbs.report.summary import conservation, degraded, late_files
from datacrumbs.trace.unattached import read_unattached

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from typing import TextIO

    from rich.console import Console

    from datacrumbs.report.job_ranks import Job
    from datacrumbs.report.node_clocks import Clocks
    from datacrumbs.trace.reader import TraceFile

HEADINGS = {
    "layer": "layer",
    "name": "function",
    "path": "file",
    "host": "host",
    "process": "process",
    "command_line": "command line",
    "pid": "pid",
    "job_id": "job",
    "step": "step",
    "rank": "rank",
    "error": "error",
    "meaning": "meaning",
    "layers": "layer",
    "count": "calls",
    "nested": "nested",
    "errors": "errors",
    "bytes": "bytes",
    "time_us": "time",
    "p50_us": "p50",
    "p90_us": "p90",
    "p99_us": "p99",
    "max_us": "max",
    "ranks": "ranks",
    "begin_us": "first call",
    "end_us": "last call",
    "state": "trace",
    "mean_bytes": "bytes/call",
    "largest_bytes": "largest",
    "waits_us": "waits",
    "from_us": "from",
    "self_us": "self",
    "wall_us": "wall",
    "phase": "part",
}
TEXTS = frozenset(
    {"access", "layer", "layers", "name", "path", "host", "process", "error", "meaning", "job_id", "state", "size"}
    | {"directory", "series", "filesystem", "program", "command_line"}
)
FOLDED = frozenset({"path", "meaning", "process", "name", "layers", "host", "state"})
FOLDED |= {"directory", "series", "filesystem", "program", "command_line"}
NOT_SHOWN = frozenset({"timed", "approximate", "margin", "least_bytes", *NANOSECONDS})
WIDE = frozenset({"mean_bytes", "opens", "p90_us", "max_us", "begin_us", "end_us"})
"""Columns that are shown where all are asked for."""
MOMENTS = frozenset({"begin_us", "end_us", "from_us"})
IF_ANY = frozenset({"nested", "waits_us", "command_line"})
"""Columns that are shown where any row has more than nothing in them."""
LOSERS_SHOWN = 5
LONGEST_COMMAND = 120
"""Characters of a command line in a table for people."""


def print_table(
    console: Console,
    title: str,
    rows: Sequence[dict[str, Any]],
    width: int | None,
    *,
    hidden: Container[str] = WIDE,
    grouped: bool = True,
) -> None:
    """A table of report rows.

    Args:
        console: Where to.
        title: Above it.
        rows: At least one, all with the same keys.
        width: Cells of a line; None for as many as it takes.
        hidden: Columns that are left out.
        grouped: Whether the rows of a layer follow each other, so that its name is shown only where it changes.
    """
    keys = [key for key in rows[0] if key not in NOT_SHOWN and key not in hidden]
    keys = [key for key in keys if key not in IF_ANY or any(row[key] for row in rows)]
    columns = []
    for key in keys:
        cells = [shown(key, row) for row in rows]
        columns.append(Column(HEADINGS.get(key, key), tuple(cells), key not in TEXTS, key in FOLDED))
    lines = lay_out(columns, width)
    if grouped and keys[0] == "layer" and "name" in keys and lines[0].startswith("layer "):
        layers = columns[0].cells
        cells = [layer if layer != above else "" for layer, above in zip(layers, ("", *layers[:-1]), strict=True)]
        lines = lay_out([Column("layer", tuple(cells)), *columns[1:]], width)
    say(console, title, "bold")
    for line in lines:
        say(console, line)


def write_csv(stream: TextIO, rows: Sequence[dict[str, Any]]) -> None:
    """Report rows as comma-separated values, with plain numbers; lists are joined by blanks."""
    keys = [key for key in rows[0] if key != "margin"] if rows else []
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(keys)
    for row in rows:
        values = (" ".join(value) if isinstance(value, list) else value for value in map(row.get, keys))
        writer.writerow([harmless(value) if isinstance(value, str) else value for value in values])


def say(console: Console, *parts: str) -> None:
    """Print one line of pairs of text and style; what is printed is text, never markup."""
    text = Text()
    for place in range(0, len(parts), 2):
        text.append(printable(parts[place]), parts[place + 1] if place + 1 < len(parts) else "")
    console.print(text, soft_wrap=True)


def print_trace(console: Console, trace: TraceFile) -> None:
    """Where a trace is, whether it is complete, and what became of every call."""
    state = (trace.lacking, "yellow") if trace.lacking else ("complete", "green")
    say(console, f"trace {trace.path}: ", "", *state)
    if trace.run.get("redacted"):
        say(console, "  some paths are hidden: names that begin with ~ replace them")
    totals = conservation(trace)
    if totals is None:
        return
    equal = ("=", "") if totals["balanced"] else ("does not equal", "red")
    in_kernel = f" + counted {totals['counted']:,}" if totals["counted"] else ""
    parts = (
        f" recorded {totals['recorded']:,} + filtered {totals['filtered']:,}"
        f"{in_kernel} + lost {totals['lost']:,} + unmatched {totals['unmatched']:,} + in flight {totals['in_flight']:,}"
    )
    say(console, f"  entered {totals['entered']:,} ", "", *equal, parts)
    if totals["causes"]:
        causes = (f"{key.replace('_', ' ')} {calls:,}" for key, calls in sorted(totals["causes"].items()))
        say(console, f"  of these {', '.join(causes)}")
    _print_notes(console, trace)
    for counts in totals["losers"][:LOSERS_SHOWN]:
        say(console, "  ", "", "lost", "yellow", f" {counts['lost']:,} of {counts['entered']:,} {counts['name']}")
    if len(totals["losers"]) > LOSERS_SHOWN:
        more = counted(len(totals["losers"]) - LOSERS_SHOWN, "more function")
        say(console, f"  and {more} lost calls (--json has all)")


def _print_notes(console: Console, trace: TraceFile) -> None:
    first = min((note["begin"] for note in trace.notes), default=0)
    for stretch in degraded(trace):
        begin, end = ((stretch[key] - first) / 1e6 for key in ("begin_us", "end_us"))
        what = f" {stretch['name']} for {end - begin:.3f} s: {counted(stretch['calls'], 'call')} counted, not recorded"
        say(console, "  ", "", "degraded", "yellow", what)
    _print_late_files(console, late_files(trace))
    _print_unattached(console, trace)
    if trace.sampled:
        some = [f"{name} 1 of {one_of:,}" for (_, name, _), one_of in sorted(trace.sampled.items())]
        what = first_few(some, LOSERS_SHOWN)
        if len(some) > LOSERS_SHOWN and len(shares := set(trace.sampled.values())) == 1:
            what = f"{counted(len(some), 'function')}, 1 of {shares.pop():,} calls each"
        say(console, f"  sampled: {what}")


def _print_late_files(console: Console, notes: list[dict[str, Any]]) -> None:
    for note in notes[:LOSERS_SHOWN]:
        what = f"probed {(note['end'] - note['begin']) / 1000:.0f} ms after it was mapped; earlier calls may be missing"
        if "reason" in note:
            what = f"not probed: {note['reason']}"
        whose = f"{note['file']} ({note.get('provider', '')})" if note.get("file") else "files"
        say(console, "  ", "", "late", "yellow", f" {whose} {what}")
    if len(notes) > LOSERS_SHOWN:
        say(console, f"  and {counted(len(notes) - LOSERS_SHOWN, 'more late file')} (--json has all)")


def _print_unattached(console: Console, trace: TraceFile) -> None:
    reasons: dict[str, list[str]] = {}
    for each, failure in read_unattached(trace.provenance, trace.path).items():
        reasons.setdefault(failure.reason, []).append(each.symbol)
    for reason, symbols in list(reasons.items())[:LOSERS_SHOWN]:
        say(console, "  ", "", "not probed", "yellow", f" {first_few(sorted(symbols), LOSERS_SHOWN)}: {reason}")
    if len(reasons) > LOSERS_SHOWN:
        more = counted(len(reasons) - LOSERS_SHOWN, "more reason")
        say(console, f"  and {more} why functions were not probed (--json has all)")


def print_jobs(console: Console, found: Sequence[Job], clocks: Clocks) -> None:
    """Which ranks of each job are in the traces, and which are missing; and what is known of the nodes' clocks."""
    for job in found:
        say(console, job.described(), "", f"; missing: {ranges(job.missing)}" if job.missing else "", "yellow")
    for line in clocks.described():
        say(console, line)


def print_order(console: Console, rows: Sequence[dict[str, Any]], clocks: Clocks) -> None:
    """Warn where the clocks of a table's nodes may be further apart than their first calls."""
    if not clocks.orders([row["begin_us"] for row in rows if row["begin_us"] is not None]):
        say(console, "the order of the nodes' first calls is not known: their clocks may be further apart", "yellow")


def print_ranks(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """What all ranks of a table did together, and how far the slowest is from the middle one."""
    timed = sorted((row for row in rows if row["rank"] is not None), key=lambda row: row["time_us"] or 0)
    if not timed:
        return
    calls, moved, time = (sum(row[key] or 0 for row in timed) for key in ("count", "bytes", "time_us"))
    say(console, f"all ranks: {counted(calls, 'call')}, {size(moved)}, {duration(time)}")
    slowest, middle = timed[-1], median(row["time_us"] or 0 for row in timed)
    if len(timed) > 1:
        time = slowest["time_us"] or 0
        say(console, f"slowest: rank {slowest['rank']} with {duration(time)}, median: {duration(round(middle))}")


def shown(key: str, row: dict[str, Any]) -> str:
    """A row's value as people read it, with its margin where it is an estimate."""
    return _estimate(key, row) if key in row.get("approximate", ()) else _cell(key, row)


def _estimate(key: str, row: dict[str, Any]) -> str:
    if row[key] is None:
        return ""
    margin = row["margin"].get(key)
    percent = 100 * margin / row[key] if margin and row[key] else 0.0
    text = _cell(key, row)
    if text.startswith("<"):  # says itself that it is not exact
        return text
    return f"~{text}" + (f" ±{percent:.{0 if percent >= 10 else 1}f}%" if percent else "")


def _cell(key: str, row: dict[str, Any]) -> str:
    value = row[key]
    if value is None or (key == "waits_us" and not value):
        return ""
    if key == "command_line" and len(value) > LONGEST_COMMAND:
        return printable(f"{value[:LONGEST_COMMAND]} ...")
    if key in TEXTS:
        return printable(", ".join(value) if isinstance(value, list) else str(value))
    return _number(key, value, row)


def _number(key: str, value: int, row: dict[str, Any]) -> str:
    if key in MOMENTS:
        return moment(value)
    if key == "share":
        return f"{value:.1%}"
    if key.endswith("_us") and row.get(exact := f"{key.removesuffix('_us')}_ns") is not None:
        return duration(row[exact] / 1000)
    if key.endswith("_us"):
        # The time of so many calls, none of which took a whole microsecond.
        return duration(value) if value or key != "time_us" else f"<{duration(max(row['timed'], 1))}"
    if key.endswith("bytes"):
        return size(value)
    return f"{value}" if key in {"pid", "step", "rank"} else f"{value:,}"
