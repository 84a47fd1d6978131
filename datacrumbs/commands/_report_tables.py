"""The tables of ``datacrumbs_report``: which, in which order, and their forms."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datacrumbs.commands._console import table_console, terminal_width
from datacrumbs.errors import usage_error
from datacrumbs.output import printable, warn
from datacrumbs.report import FILES_SHOWN
from datacrumbs.report.findings.printing import print_findings
from datacrumbs.report.job_ranks import jobs
from datacrumbs.report.sorting import column_of, in_its_order, in_order, shown_columns
from datacrumbs.report.summary import conservation, degraded, late_files
from datacrumbs.report.tables import (
    WIDE,
    print_jobs,
    print_order,
    print_ranks,
    print_table,
    print_trace,
    say,
    write_csv,
)
from datacrumbs.report.tracing_cost import tracing_costs
from datacrumbs.report.wide_columns import ONLY_WIDE
from datacrumbs.trace.mounts import mount_fields

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from rich.console import Console

    from datacrumbs.report.asked_calls import AskedCalls
    from datacrumbs.report.findings.judging import Findings
    from datacrumbs.report.node_clocks import Clocks
    from datacrumbs.trace.reader import Traces

SCHEMA_VERSION = 1
"""Of the JSON of reports: it grows when keys change their meaning or go."""
_TITLES = {
    "functions": "Calls by layer and function",
    "files": "Most expensive files",
    "channels": "Pipes, sockets and terminals",
    "processes": "Calls by process",
    "ranks": "Calls by rank",
    "nodes": "Calls by node",
    "directories": "Calls by directory",
    "series": "Calls by series of files",
    "filesystems": "Calls by type of file system",
    "sizes": "Calls by the bytes that they moved",
    "times": "Calls by when they began",
    "layers": "Calls by layer",
    "errors": "Failed calls",
    "patterns": "Access patterns",
}
_NARROW = {"nodes": frozenset({"begin_us", "end_us"}), "patterns": frozenset({"mean_bytes"})}
"""Columns that are for wide tables elsewhere and always shown here."""
_PLURALS = {"process": "processes", "directory": "directories", "series": "series"}


def view_of(options: argparse.Namespace) -> str | None:
    """The one table that is asked for, if one is."""
    return options.by or ("function" if options.csv else None)


@dataclass(frozen=True, slots=True)
class _Table:
    # With its name in JSON, and whether rows were left out.
    name: str
    rows: list[dict[str, Any]]
    is_cut: bool


def print_tables(
    options: argparse.Namespace,
    calls: AskedCalls,
    clocks: Clocks,
    findings: Findings | None,
    why_empty: Callable[[], str],
) -> None:
    """Print what is known of the calls in the form that was asked for: for people, as JSON, or one table as CSV.

    Args:
        options: The command line.
        calls: Those that it selects.
        clocks: Of the nodes.
        findings: What is wrong, where that is asked for.
        why_empty: Says why there are no calls, if that is since they were not selected.
    """
    tables, traces = _tables(options, calls), calls.traces
    empty = "" if any(table.rows for table in tables) else why_empty()
    if options.json:
        faults = findings.as_json() if findings else {}
        about = {
            "schema_version": SCHEMA_VERSION,
            "traces": described(traces),
            "jobs": [job.document() for job in jobs(traces)],
            "tracing_costs": [cost.document() for cost in tracing_costs(traces, calls.lives)],
        }
        rows = {table.name: table.rows for table in tables}
        said = {"nothing_selected": empty} if empty else {}
        print(json.dumps({**about, "clocks": clocks.document(), **said, **faults, **rows}, indent=2))
    elif options.csv:
        write_csv(sys.stdout, tables[0].rows)
        warn_of_empty(empty)
        warn_of_gaps(traces)
    else:
        console = table_console()
        if findings:
            print_findings(console, findings)
        for each in tables:
            _print(console, options, each, clocks)
            console.print()
        if empty:
            say(console, f"nothing selected: {empty}")
        print_jobs(console, jobs(traces), clocks)
        for trace in traces.files:
            print_trace(console, trace)
        for cost in tracing_costs(traces, calls.lives):
            say(console, f"{cost.host}: {cost.described()}")


def _print(console: Console, options: argparse.Namespace, table: _Table, clocks: Clocks) -> None:
    if not table.rows:
        console.print(f"{_TITLES[table.name]}: none")
        return
    hidden = frozenset() if options.wide else WIDE - _NARROW.get(table.name, frozenset())
    print_table(console, _TITLES[table.name], table.rows, terminal_width(), hidden=hidden, grouped=options.sort is None)
    if any(row.get("approximate") for row in table.rows):
        console.print("~: an estimate, with its 95 % margin if known; not every call has a line of its own")
    if table.name == "times" and any("begin_us" in row.get("approximate", ()) for row in table.rows):
        console.print("calls that were only added up are taken as spread evenly over the time in which they were made")
    if any(row.get("nested") for row in table.rows):
        console.print("nested: made inside another call of the same layer, whose bytes and time include theirs")
    if any(row.get("waits_us") for row in table.rows):
        console.print("waits: the part of the time on pipes, sockets and terminals, and in functions that only wait")
    if table.is_cut:
        console.print(f"... only the first {len(table.rows)}; datacrumbs report TRACE --limit N shows more")
    elif table.name == "ranks":
        print_ranks(console, table.rows)
    elif table.name == "nodes":
        print_order(console, table.rows, clocks)


def limits(options: argparse.Namespace) -> dict[str, int | None]:
    """The tables that are wanted, and at most how many rows of each."""
    view, limit = view_of(options), options.limit
    return {view: limit} if view else {"function": limit, "file": limit or FILES_SHOWN}


def _tables(options: argparse.Namespace, calls: AskedCalls) -> list[_Table]:
    tables, unsorted = list[_Table](), dict[str, str]()
    for view, most in limits(options).items():
        name = _PLURALS.get(view, f"{view}s")
        # One row more than asked for shows whether there are more.
        rows = calls.rows(view, None if options.sort else most and most + 1)
        column = column_of(options.sort, rows) if options.sort else None
        if column:
            rows = in_order(rows, column, reverse=options.reverse)
        elif options.sort and rows:
            unsorted[name] = shown_columns(rows)
        kept = rows[:most]
        tables.append(_Table(name, kept if column else in_its_order(view, kept), len(kept) < len(rows)))
    if unsorted and len(unsorted) == sum(bool(table.rows) for table in tables):
        if not options.wide and column_of(options.sort, [dict.fromkeys(ONLY_WIDE)]):
            raise usage_error(f"--sort {options.sort}: only --wide has this column", "give --wide, too")
        known = "; ".join(f"of {name}: {columns}" for name, columns in unsorted.items())
        raise usage_error(f"--sort {options.sort}: no such column; expected one {known}")
    return tables


def warn_of_empty(why: str) -> None:
    """Say on standard error that no call was selected, for output that does not say so itself."""
    if why:
        warn(f"nothing selected: {why}")


def warn_of_gaps(traces: Traces) -> None:
    """Name on standard error the traces that are not all of their runs, for output that does not say so itself."""
    for trace in traces.files:
        if trace.lacking:
            warn(f"{printable(str(trace.path))}: {printable(trace.lacking)}")


def described(traces: Traces) -> list[dict[str, Any]]:
    """What is known of each trace as a whole."""
    return [
        {
            "path": str(trace.path),
            "host": trace.host,
            "complete": trace.complete,
            "shortcoming": trace.shortcoming,
            "calls": trace.lines,
            "run": trace.run,
            "provenance": trace.provenance,
            "file_systems": {point: dict(mount_fields(mount)) for point, mount in sorted(trace.mounts.items())},
            "conservation": conservation(trace),
            "degraded": degraded(trace),
            "late_files": late_files(trace),
            "sampled": [
                {"category": category, "name": name, "symbol": symbol, "one_of": one_of}
                for (category, name, symbol), one_of in sorted(trace.sampled.items())
            ],
        }
        for trace in traces.files
    ]
