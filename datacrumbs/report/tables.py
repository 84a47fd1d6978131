"""A report for people, with rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from rich.markup import escape
from rich.table import Table

from datacrumbs.report.summary import conservation, degraded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from datacrumbs.trace.reader import TraceFile

HEADINGS = {
    "layer": "layer",
    "name": "function",
    "path": "file",
    "host": "host",
    "process": "process",
    "pid": "pid",
    "error": "error",
    "meaning": "meaning",
    "count": "calls",
    "errors": "errors",
    "bytes": "bytes",
    "time_us": "time",
    "p50_us": "p50",
    "p99_us": "p99",
}
TEXTS = frozenset({"layer", "name", "path", "host", "process", "error", "meaning"})
FOLDED = frozenset({"path", "meaning", "process"})
ESTIMATES = frozenset({"approximate", "margin"})
LOSERS_SHOWN = 5


def call_table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A table of report rows; a layer's name stands only where it changes."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    keys = [key for key in rows[0] if key not in ESTIMATES] if rows else ["name", "count"]
    for key in keys:
        justify: Literal["left", "right"] = "left" if key in TEXTS else "right"
        table.add_column(HEADINGS.get(key, key), justify=justify, overflow="fold", no_wrap=key not in FOLDED)
    previous = None
    for row in rows:
        cells = [_estimate(key, row) if key in row.get("approximate", ()) else _cell(key, row[key]) for key in keys]
        if keys[0] == "layer" and "name" in keys:
            cells[0] = "" if row["layer"] == previous else cells[0]
            previous = row["layer"]
        table.add_row(*cells)
    return table


def print_trace(console: Console, trace: TraceFile) -> None:
    """Where a trace is, whether it is complete, and what became of every call."""
    state = "[green]complete[/green]" if trace.complete else f"[yellow]{escape(trace.shortcoming)}[/yellow]"
    console.print(f"trace {escape(printable(str(trace.path)))}: {state}", soft_wrap=True)
    if trace.run.get("redacted"):
        console.print("  some paths are hidden: names that begin with ~ stand for them", soft_wrap=True)
    totals = conservation(trace)
    if totals is None:
        return
    sign = "=" if totals["balanced"] else "[red]does not equal[/red]"
    counted = f" + counted {totals['counted']:,}" if totals["counted"] else ""
    console.print(
        f"  entered {totals['entered']:,} {sign} recorded {totals['recorded']:,} + filtered {totals['filtered']:,}"
        f"{counted} + lost {totals['lost']:,} + unmatched {totals['unmatched']:,} + in flight {totals['in_flight']:,}",
        soft_wrap=True,
    )
    if totals["causes"]:
        causes = (f"{key.replace('_', ' ')} {calls:,}" for key, calls in sorted(totals["causes"].items()))
        console.print(f"  of these {', '.join(causes)}", soft_wrap=True)
    _print_notes(console, trace)
    for counts in totals["losers"][:LOSERS_SHOWN]:
        console.print(f"  [yellow]lost[/yellow] {counts['lost']:,} of {counts['entered']:,} {escape(counts['name'])}")
    if len(totals["losers"]) > LOSERS_SHOWN:
        console.print(f"  and {len(totals['losers']) - LOSERS_SHOWN} more functions lost calls (--json has all)")


def _print_notes(console: Console, trace: TraceFile) -> None:
    first = min((note["begin"] for note in trace.notes), default=0)
    for stretch in degraded(trace):
        begin, end = ((stretch[key] - first) / 1e6 for key in ("begin_us", "end_us"))
        console.print(
            f"  [yellow]degraded[/yellow] {escape(printable(stretch['name']))} for {end - begin:.3f} s: "
            f"{stretch['calls']:,} calls counted, not recorded",
            soft_wrap=True,
        )
    if trace.sampled:
        some = [f"{escape(printable(name))} 1 of {one_of:,}" for (_, name, _), one_of in sorted(trace.sampled.items())]
        more = f" and {len(some) - LOSERS_SHOWN} more" if len(some) > LOSERS_SHOWN else ""
        console.print(f"  sampled: {', '.join(some[:LOSERS_SHOWN])}{more}", soft_wrap=True)


def _estimate(key: str, row: dict[str, Any]) -> str:
    if row[key] is None:
        return ""
    margin = row["margin"].get(key)
    percent = 100 * margin / row[key] if margin and row[key] else 0.0
    return f"~{_cell(key, row[key])}" + (f" ±{percent:.{0 if percent >= 10 else 1}f}%" if percent else "")


def duration(microseconds: int) -> str:
    """A time with three digits and a unit."""
    for limit, divisor, unit in ((1000, 1, "us"), (1_000_000, 1000, "ms")):
        if microseconds < limit:
            return f"{microseconds / divisor:.3g} {unit}"
    return f"{microseconds / 1_000_000:,.2f} s"


def size(number: int) -> str:
    """Bytes with a binary unit."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{number} B" if unit == "B" else f"{value:,.1f} {unit}"


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters and lone surrogates are shown as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in TEXTS:
        return escape(printable(str(value)))
    if key.endswith("_us"):
        return duration(value)
    if key == "bytes":
        return size(value)
    return f"{value}" if key == "pid" else f"{value:,}"
