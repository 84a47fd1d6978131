"""``datacrumbs_report``: what a trace says, by function, file, process, layer or error."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from datacrumbs.commands._console import table_console, terminal_width
from datacrumbs.commands._run import command_parser, run_command
from datacrumbs.output import printable
from datacrumbs.report.apart import check_apart
from datacrumbs.report.summary import (
    VIEWS,
    Selection,
    by_layer,
    check_order,
    conservation,
    degraded,
    late_files,
    parse_moment,
    select,
    select_profiles,
    table,
)
from datacrumbs.report.tables import print_table, print_trace, write_csv
from datacrumbs.trace.reader import find_traces, read_traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.trace.reader import Traces

FILES_SHOWN = 10
PROGRAM = "datacrumbs_report"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_parser(
        PROGRAM,
        "Show what traces say: calls by layer and function, the most expensive files, and whether anything is missing.",
        f"{PROGRAM} run.pfw.gz --by file --path '/data/*' --limit 20",
    )
    made.add_argument("traces", nargs="+", metavar="TRACE", help="a trace (.pfw.gz), or a directory of traces")
    made.add_argument(
        "--by",
        choices=VIEWS,
        help="one table, a row per function, file, channel (pipe, socket, terminal), process, layer or error",
    )
    form = made.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the data as JSON")
    form.add_argument("--csv", action="store_true", help="print one table as CSV: that of --by, else the functions")
    made.add_argument("--name", action="append", default=[], metavar="GLOB", help="only functions of this name")
    made.add_argument("--path", action="append", default=[], metavar="GLOB", help="only calls on files of this path")
    made.add_argument("--pid", action="append", default=[], type=int, metavar="N", help="only this process")
    moment = "seconds or, with 'us', microseconds after the first call; or epoch microseconds"
    made.add_argument("--since", metavar="TIME", help=f"only calls that end at or after this moment ({moment})")
    made.add_argument("--until", metavar="TIME", help="only calls that begin at or before this moment")
    made.add_argument(
        "--limit",
        type=_positive,
        metavar="N",
        help=f"at most N rows of each table (default: {FILES_SHOWN} files when functions are listed, else all)",
    )
    return made


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run_command(lambda: report(sys.argv[1:])))


def report(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0 also for traces that are cut short: the report says so.

    Raises:
        DatacrumbsError: (exit 2) for what is no trace, and for traces that must not be added up.
    """
    options = parser().parse_args(arguments)
    selection = Selection(
        tuple(options.name),
        tuple(options.path),
        tuple(options.pid),
        None if options.since is None else parse_moment(options.since),
        None if options.until is None else parse_moment(options.until),
    )
    check_order(selection.since, selection.until)
    traces = read_traces(find_traces(options.traces))
    check_apart(traces)
    view = options.by or ("function" if options.csv else None)
    tables, cut = _tables(traces, selection, view, options.limit)
    if options.json:
        print(json.dumps({"traces": _described(traces), **tables}, indent=2))
    elif options.csv:
        write_csv(sys.stdout, next(iter(tables.values())))
        for trace in traces.files:
            if not trace.complete:
                print(f"{PROGRAM}: {printable(str(trace.path))}: {printable(trace.shortcoming)}", file=sys.stderr)
    else:
        _print(traces, tables, cut)
    return 0


def _print(traces: Traces, tables: dict[str, list[dict[str, Any]]], cut: set[str]) -> None:
    console = table_console()
    for name, rows in tables.items():
        if rows:
            print_table(console, _TITLES[name], rows, terminal_width())
            if any(row.get("approximate") for row in rows):
                console.print("~: an estimate, with its 95 % margin if known; not every call has a line of its own")
            if any(row.get("nested") for row in rows):
                console.print("nested: made inside another call of the same layer, whose bytes and time include theirs")
            if name in cut:
                console.print(f"... only the first {len(rows)}; --limit N shows more")
        else:
            console.print(f"{_TITLES[name]}: none")
        console.print()
    for trace in traces.files:
        print_trace(console, trace)


_TITLES = {
    "functions": "Calls by layer and function",
    "files": "Most expensive files",
    "channels": "Pipes, sockets and terminals",
    "processes": "Calls by process",
    "layers": "Calls by layer",
    "errors": "Failed calls",
}


def _tables(
    traces: Traces, selection: Selection, view: str | None, limit: int | None
) -> tuple[dict[str, list[dict[str, Any]]], set[str]]:
    # The rows of each table by its name, and the names of those that were cut.
    calls, profiles = select(traces, selection), select_profiles(traces, selection)
    limits = {view: limit} if view else {"function": limit, "file": limit or FILES_SHOWN}
    tables, cut = {}, set()
    for each, most in limits.items():
        name = {"process": "processes"}.get(each, f"{each}s")
        # One row more than asked for shows whether there are more.
        rows = table(traces, calls, profiles, each, most and most + 1, paths=selection.paths)
        if most and len(rows) > most:
            cut.add(name)
        tables[name] = by_layer(rows[:most]) if each == "function" else rows[:most]
    return tables, cut


def _described(traces: Traces) -> list[dict[str, Any]]:
    return [
        {
            "path": str(trace.path),
            "host": trace.host,
            "complete": trace.complete,
            "shortcoming": trace.shortcoming,
            "calls": trace.lines,
            "run": trace.run,
            "provenance": trace.provenance,
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


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, not {text!r}")
    return int(text)
