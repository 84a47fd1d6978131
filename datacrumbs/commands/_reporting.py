"""What ``datacrumbs_report`` prints: tables on a terminal, CSV or JSON."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.commands._command import PREFIX_VARIABLE
from datacrumbs.commands._console import table_console, terminal_width
from datacrumbs.commands._reading_progress import ReadingProgress
from datacrumbs.errors import DatacrumbsError, ExitCode, usage_error
from datacrumbs.output import counted, inform, printable, warn
from datacrumbs.report import FILES_SHOWN, PATTERN, REGRESSION
from datacrumbs.report.apart import check_apart
from datacrumbs.report.collectives import align
from datacrumbs.report.comparing import compare
from datacrumbs.report.comparison_table import print_comparison
from datacrumbs.report.explaining import explain
from datacrumbs.report.explanation_table import print_explanation
from datacrumbs.report.exports.endings import COMPRESSED, ending, export
from datacrumbs.report.findings.judging import Findings, find
from datacrumbs.report.findings.patterns import access_patterns
from datacrumbs.report.findings.printing import print_findings, summary
from datacrumbs.report.findings.provider_rules import provider_rules
from datacrumbs.report.job_ranks import jobs, node_rows, spans_of
from datacrumbs.report.node_clocks import Clocks, clocks_of
from datacrumbs.report.summary import (
    CallSelection,
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
from datacrumbs.report.tables import print_jobs, print_order, print_ranks, print_table, print_trace, size, write_csv
from datacrumbs.secure.files import write_atomically
from datacrumbs.system import SystemPaths
from datacrumbs.trace.mounts import mount_fields
from datacrumbs.trace.reader import find_traces, read_traces
from datacrumbs.trace.store import SPILL_ROWS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from datacrumbs.report.explaining import Explanation
    from datacrumbs.trace.reader import Traces


_GZIP = b"\x1f\x8b"


def report(options: argparse.Namespace) -> ExitCode:
    """Print the report; of traces that are cut short it says so.

    Returns:
        FOUND where there are findings that ``--fail-on`` names.

    Raises:
        DatacrumbsError: (exit 2) for what is no trace, and for traces that must not be added up.
    """
    selection = CallSelection(
        tuple(options.name),
        tuple(options.path),
        tuple(options.pid),
        tuple(options.rank),
        None if options.since is None else parse_moment(options.since),
        None if options.until is None else parse_moment(options.until),
    )
    check_order(selection.since, selection.until)
    _check_explaining(options)
    if options.engine:
        _report_distributed(options, selection)
        return ExitCode.DONE
    if options.compare or options.fail_on == REGRESSION:
        return _compare(options, selection)
    _check_output(options)
    judged = bool(not (_view(options) or options.export) or options.html or options.fail_on)
    details = judged or _view(options) == PATTERN
    rows = SPILL_ROWS // 2 if details else SPILL_ROWS  # they take twice the memory
    paths = find_traces(options.traces or [_last()])
    with ReadingProgress(paths) as progress:
        traces = read_traces(paths, rows, details=details, passed=progress.passed)
    check_apart(traces)
    clocks = _clocks(traces, options.align)
    if options.explain and not options.html:
        _explain(options, traces, selection)
        return ExitCode.DONE
    findings = _judged(traces, selection) if judged else None
    if options.export:
        _export(traces, selection, Path(options.export))
    elif options.html:
        explanation = _explained(options, traces, selection) if options.explain else None
        _write_page(traces, selection, findings, explanation, Path(options.html))
    else:
        _print_tables(options, traces, clocks, _rows_of(traces, selection), findings)
    return _status(findings, options.fail_on)


# What is written is no trace, and has a known form.
def _check_output(options: argparse.Namespace) -> None:
    if options.html and (options.by or options.limit):
        raise usage_error("--by and --limit: the page has all tables", "leave them out with --html")
    if options.export and (options.by or options.limit):
        raise usage_error("--by and --limit: an export has all calls", "leave them out with --export")
    for option, place in (("--html", options.html), ("--export", options.export)):
        if place:
            _refuse_trace(option, Path(place))
    if options.export:
        ending(Path(options.export))


def _compare(options: argparse.Namespace, selection: CallSelection) -> ExitCode:
    if not (options.compare and options.traces):
        raise usage_error("a comparison needs both sides: TRACE ... --compare LATER ...")
    others = {
        "--explain": options.explain,
        "--by": options.by,
        "--csv": options.csv,
        "--html": options.html,
        "--export": options.export,
    }
    beside = [option for option, given in others.items() if given]
    if beside or options.fail_on not in {None, REGRESSION}:
        raise usage_error(f"--compare and {beside[0] if beside else f'--fail-on {options.fail_on}'} exclude each other")
    sides = [read_traces(find_traces(paths)) for paths in (options.traces, options.compare)]
    for traces in sides:
        check_apart(traces)
        for trace in traces.files:
            if trace.sampled or trace.profiles:
                raise usage_error(f"{printable(str(trace.path))}: not every call has a line, so it cannot be compared")
            if not trace.complete:
                warn(f"{printable(str(trace.path))}: {printable(trace.shortcoming)}")
    before, after = sides
    changes = compare(before, select(before, selection), after, select(after, selection))
    if options.json:
        rows = [asdict(change) | {"is_regression": change.is_regression} for change in changes]
        print(json.dumps({"before": _described(before), "after": _described(after), "changes": rows}, indent=2))
    else:
        print_comparison(table_console(), changes, terminal_width(), options.limit)
    is_worse = any(change.is_regression for change in changes)
    if options.fail_on and not is_worse and not all(trace.complete for traces in sides for trace in traces.files):
        raise DatacrumbsError("a trace is not complete, so that there is no regression is not known")
    return ExitCode.FOUND if options.fail_on and is_worse else ExitCode.DONE


# The one table that is asked for, if one is.
def _view(options: argparse.Namespace) -> str | None:
    return options.by or ("function" if options.csv else None)


def _check_explaining(options: argparse.Namespace) -> None:
    others = {
        "--by": options.by,
        "--csv": options.csv,
        "--export": options.export,
        "--fail-on": None if options.html else options.fail_on,
    }
    beside = [option for option, given in others.items() if given]
    if options.explain and beside:
        raise usage_error(f"--explain and {beside[0]} exclude each other")
    if options.slow_vs_fast and not options.explain:
        raise usage_error("--slow-vs-fast needs --explain FUNCTION")


def _explain(options: argparse.Namespace, traces: Traces, selection: CallSelection) -> None:
    found = _explained(options, traces, selection)
    if options.json:
        print(json.dumps({"traces": _described(traces), "explanation": asdict(found)}, indent=2))
        return
    print_explanation(table_console(), found, terminal_width())


def _explained(options: argparse.Namespace, traces: Traces, selection: CallSelection) -> Explanation:
    return explain(traces, selection, options.explain, slow_vs_fast=options.slow_vs_fast)


def _judged(traces: Traces, selection: CallSelection) -> Findings:
    foreign, failed = provider_rules()
    findings = find(traces, select(traces, selection), selection, foreign)
    findings.not_judged += failed
    return findings


def _status(findings: Findings | None, severity: str | None) -> ExitCode:
    if findings is None or severity is None:
        return ExitCode.DONE
    for each in findings.not_judged:
        warn(f"not judged: {summary(each.rules)}: {printable(each.reason)}")
    return ExitCode.FOUND if findings.reach(severity) else ExitCode.DONE


def _clocks(traces: Traces, alignment: str | None) -> Clocks:
    clocks = clocks_of(traces.files)
    if alignment is None or len(clocks.nodes) < 2:
        return clocks
    found = align(traces, clocks)
    if found is None:
        return clocks
    return replace(clocks, bound_us=found.bound_us, by=counted(found.calls, "collective call") + " of MPI")


# By an engine for traces that are too large for this process: tables alone.
def _report_distributed(options: argparse.Namespace, selection: CallSelection) -> None:
    from datacrumbs.report.distributed import read_distributed

    others = {"--html": options.html, "--export": options.export, "--explain": options.explain}
    others |= {"--compare": options.compare, "--fail-on": options.fail_on, "--align": options.align}
    others |= {f"--by {PATTERN}": options.by == PATTERN}
    beside = [option for option, given in others.items() if given]
    if beside:
        raise usage_error(f"--engine and {beside[0]} exclude each other")
    whole = read_distributed(find_traces(options.traces or [_last()]), selection, list(_limits(options)))
    _print_tables(options, whole.traces, clocks_of(whole.traces.files), whole.rows, None)


def _print_tables(
    options: argparse.Namespace,
    traces: Traces,
    clocks: Clocks,
    rows_of: Callable[[str, int | None], list[dict[str, Any]]],
    findings: Findings | None,
) -> None:
    tables, cut = _tables(options, rows_of)
    if options.json:
        faults = findings.as_json() if findings else {}
        about = {"traces": _described(traces), "jobs": [job.document() for job in jobs(traces)]}
        print(json.dumps({**about, "clocks": clocks.document(), **faults, **tables}, indent=2))
    elif options.csv:
        write_csv(sys.stdout, next(iter(tables.values())))
        for trace in traces.files:
            if not trace.complete:
                warn(f"{printable(str(trace.path))}: {printable(trace.shortcoming)}")
    else:
        _print(traces, clocks, tables, cut, findings)


def _write_page(
    traces: Traces,
    selection: CallSelection,
    findings: Findings | None,
    explanation: Explanation | None,
    place: Path,
) -> None:
    try:
        from datacrumbs.report.page.rendering import render
    except ModuleNotFoundError as error:
        raise DatacrumbsError(
            f"--html needs the Python package {error.name}", hint="pip install 'datacrumbs[report]'"
        ) from None
    from datacrumbs.report.page.contents import gather

    calls, profiles = select(traces, selection), select_profiles(traces, selection)
    contents = gather(traces, calls, profiles, selection, findings)
    contents.explanation = explanation
    text = render(contents)
    if place.exists() and not place.is_file():  # a terminal, a pipe
        place.write_text(text, encoding="utf-8")
    else:
        write_atomically(place.resolve(), text.encode())
    inform(f"{printable(str(place))}: {size(len(text.encode()))}")


def _export(traces: Traces, selection: CallSelection, place: Path) -> None:
    if len(traces.profiles) or any(trace.sampled for trace in traces.files):
        warn("calls that were only counted or added up have no lines, so they are not in what is exported")
    export(traces, select(traces, selection), place)
    inform(f"{printable(str(place))}: {size(place.stat().st_size)}")


# `report --html TRACE` lacks the page, and would put one over the trace.
def _refuse_trace(option: str, place: Path) -> None:
    is_trace = place.name.endswith((".pfw", ".pfw.gz"))
    with suppress(OSError):
        if place.is_file():
            with place.open("rb") as stream:
                is_trace = is_trace or (stream.read(2) == _GZIP and not place.name.endswith(COMPRESSED))
    if is_trace:
        raise usage_error(
            f"{option} {printable(str(place))}: this is a trace", f"give what to write first: {option} OUT TRACE"
        )


def _last() -> Path:
    from datacrumbs.runs.own_traces import last_trace

    path = last_trace(SystemPaths(Path(os.environ.get(PREFIX_VARIABLE) or "/").absolute()))
    inform(f"trace {printable(str(path))}")
    return path


def _print(
    traces: Traces,
    clocks: Clocks,
    tables: dict[str, list[dict[str, Any]]],
    cut: set[str],
    findings: Findings | None,
) -> None:
    console = table_console()
    if findings:
        print_findings(console, findings)
    for name, rows in tables.items():
        if rows:
            print_table(console, _TITLES[name], rows, terminal_width())
            if any(row.get("approximate") for row in rows):
                console.print("~: an estimate, with its 95 % margin if known; not every call has a line of its own")
            if any(row.get("nested") for row in rows):
                console.print("nested: made inside another call of the same layer, whose bytes and time include theirs")
            if name in cut:
                console.print(f"... only the first {len(rows)}; datacrumbs report TRACE --limit N shows more")
            elif name == "ranks":
                print_ranks(console, rows)
            elif name == "nodes":
                print_order(console, rows, clocks)
        else:
            console.print(f"{_TITLES[name]}: none")
        console.print()
    print_jobs(console, jobs(traces), clocks)
    for trace in traces.files:
        print_trace(console, trace)


_TITLES = {
    "functions": "Calls by layer and function",
    "files": "Most expensive files",
    "channels": "Pipes, sockets and terminals",
    "processes": "Calls by process",
    "ranks": "Calls by rank",
    "nodes": "Calls by node",
    "layers": "Calls by layer",
    "errors": "Failed calls",
    "patterns": "Access patterns",
}


# The rows of a table; given a view, and how many at most.
def _rows_of(traces: Traces, selection: CallSelection) -> Callable[[str, int | None], list[dict[str, Any]]]:
    calls, profiles = select(traces, selection), select_profiles(traces, selection)

    def rows(view: str, most: int | None) -> list[dict[str, Any]]:
        if view == PATTERN:
            patterns, left = access_patterns(traces, calls)
            for reason in left:
                warn(printable(reason))
            return patterns
        names = selection.whole_functions
        found = table(traces, calls, profiles, view, most, paths=selection.paths, names=names)
        return node_rows(traces, spans_of(traces, calls), found) if view == "node" else found

    return rows


def _limits(options: argparse.Namespace) -> dict[str, int | None]:
    view, limit = _view(options), options.limit
    return {view: limit} if view else {"function": limit, "file": limit or FILES_SHOWN}


def _tables(
    options: argparse.Namespace, rows_of: Callable[[str, int | None], list[dict[str, Any]]]
) -> tuple[dict[str, list[dict[str, Any]]], set[str]]:
    # The rows of each table by its name, and the names of those that were cut.
    tables, cut = {}, set()
    for each, most in _limits(options).items():
        name = {"process": "processes"}.get(each, f"{each}s")
        # One row more than asked for shows whether there are more.
        rows = rows_of(each, most and most + 1)
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
