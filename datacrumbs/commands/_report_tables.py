"""The tables of ``datacrumbs_report``: which, in which order, and their forms."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datacrumbs.commands._console import table_console, terminal_width
from datacrumbs.errors import usage_error
from datacrumbs.output import printable, warn
from datacrumbs.report import FILES_SHOWN, PATTERN
from datacrumbs.report.call_selection import CallSelection, select, select_profiles
from datacrumbs.report.findings.patterns import access_patterns
from datacrumbs.report.findings.printing import print_findings
from datacrumbs.report.job_ranks import jobs, node_rows
from datacrumbs.report.nesting import Nesting
from datacrumbs.report.sorting import column_of, in_its_order, in_order, shown_columns
from datacrumbs.report.summary import conservation, degraded, late_files, table
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
from datacrumbs.report.views import SCOPES
from datacrumbs.report.wide_columns import ONLY_WIDE
from datacrumbs.trace.mounts import mount_fields

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from rich.console import Console

    from datacrumbs.report.findings.judging import Findings
    from datacrumbs.report.node_clocks import Clocks
    from datacrumbs.trace.reader import Traces

    Rows = Callable[[str, int | None], list[dict[str, Any]]]

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
    options: argparse.Namespace, traces: Traces, clocks: Clocks, rows_of: Rows, findings: Findings | None
) -> None:
    """Print what is known of the calls in the form that was asked for: for people, as JSON, or one table as CSV."""
    tables = _tables(options, rows_of)
    if options.json:
        faults = findings.as_json() if findings else {}
        about = {
            "schema_version": SCHEMA_VERSION,
            "traces": described(traces),
            "jobs": [job.document() for job in jobs(traces)],
            "tracing_costs": [cost.document() for cost in tracing_costs(traces)],
        }
        rows = {table.name: table.rows for table in tables}
        print(json.dumps({**about, "clocks": clocks.document(), **faults, **rows}, indent=2))
    elif options.csv:
        write_csv(sys.stdout, tables[0].rows)
        for trace in traces.files:
            if not trace.complete:
                warn(f"{printable(str(trace.path))}: {printable(trace.shortcoming)}")
    else:
        console = table_console()
        if findings:
            print_findings(console, findings)
        for each in tables:
            _print(console, options, each, clocks)
            console.print()
        print_jobs(console, jobs(traces), clocks)
        for trace in traces.files:
            print_trace(console, trace)
        for cost in tracing_costs(traces):
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


def rows_of(traces: Traces, selection: CallSelection, views: Iterable[str], *, wide: bool) -> Rows:
    """The rows of a table, one of these views; given the view, and how many at most."""
    calls, profiles = select(traces, selection), select_profiles(traces, selection)
    nesting = Nesting(traces, calls, filter(None, map(SCOPES.get, views)))

    def rows(view: str, most: int | None) -> list[dict[str, Any]]:
        if view == PATTERN:
            patterns, left = access_patterns(traces, calls)
            for reason in left:
                warn(printable(reason))
            return patterns
        found = table(traces, calls, profiles, view, most, selection=selection, nesting=nesting, wide=wide)
        return node_rows(traces, found) if view == "node" else found

    return rows


def limits(options: argparse.Namespace) -> dict[str, int | None]:
    """The tables that are wanted, and at most how many rows of each."""
    view, limit = view_of(options), options.limit
    return {view: limit} if view else {"function": limit, "file": limit or FILES_SHOWN}


def _tables(options: argparse.Namespace, rows_of: Rows) -> list[_Table]:
    tables, unsorted = list[_Table](), dict[str, str]()
    for view, most in limits(options).items():
        name = _PLURALS.get(view, f"{view}s")
        # One row more than asked for shows whether there are more.
        rows = rows_of(view, None if options.sort else most and most + 1)
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
