"""What ``datacrumbs_report`` does: tables, a page, an export, an explanation or a comparison."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import PREFIX_VARIABLE
from datacrumbs.commands._console import table_console, terminal_width
from datacrumbs.commands._reading_progress import ReadingProgress
from datacrumbs.commands._report_tables import SCHEMA_VERSION, described, limits, print_tables, rows_of, view_of
from datacrumbs.errors import DatacrumbsError, ExitCode, usage_error
from datacrumbs.output import counted, inform, printable, warn
from datacrumbs.report import PATTERN, REGRESSION
from datacrumbs.report.call_selection import CallSelection, check_order, parse_moment, select, select_profiles
from datacrumbs.report.collectives import align
from datacrumbs.report.comparing import compare
from datacrumbs.report.comparison_table import print_comparison
from datacrumbs.report.explaining import explain
from datacrumbs.report.explanation_table import print_explanation
from datacrumbs.report.exports.endings import COMPRESSED, ending, export
from datacrumbs.report.findings.judging import Findings, find
from datacrumbs.report.findings.printing import summary
from datacrumbs.report.findings.provider_rules import provider_rules
from datacrumbs.report.human_readable import size
from datacrumbs.report.node_clocks import Clocks, clocks_of
from datacrumbs.report.overlapping_traces import check_apart
from datacrumbs.report.path_groups import globs_of
from datacrumbs.secure.files import write_atomically
from datacrumbs.system import SystemPaths
from datacrumbs.trace.call_store import SPILL_ROWS
from datacrumbs.trace.reader import find_traces, read_traces

if TYPE_CHECKING:
    import argparse

    from datacrumbs.report.comparing import Change
    from datacrumbs.report.explaining import Explanation
    from datacrumbs.trace.reader import Traces


_GZIP = b"\x1f\x8b"


def _moment(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_moment(text)
    except DatacrumbsError as error:
        raise usage_error(f"{option}: {error.message}") from None


def report(options: argparse.Namespace) -> ExitCode:
    """Print the report; of traces that are cut short it says so.

    Returns:
        FOUND where there are findings that ``--fail-on`` names.

    Raises:
        DatacrumbsError: (exit 2) for what is no trace, and for traces that must not be added up.
    """
    selection = CallSelection(
        tuple(options.name),
        globs_of(tuple(options.path)),
        globs_of(tuple(options.not_path)),
        tuple(options.pid),
        tuple(options.rank),
        _moment("--since", options.since),
        _moment("--until", options.until),
    )
    check_order(selection.since, selection.until)
    _check_table_options(options)
    _check_explaining(options)
    if options.engine:
        _report_distributed(options, selection)
        return ExitCode.DONE
    if options.compare or options.fail_on == REGRESSION:
        return _compare(options, selection)
    _check_output(options)
    judged = bool(not (view_of(options) or options.export) or options.html or options.fail_on)
    details = judged or view_of(options) == PATTERN
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
        _write_page(traces, selection, findings, Path(options.html), explanation=explanation)
    else:
        print_tables(options, traces, clocks, rows_of(traces, selection, limits(options), wide=options.wide), findings)
    return _status(findings, options.fail_on)


# What tables are like is for tables alone.
def _check_table_options(options: argparse.Namespace) -> None:
    if options.reverse and not options.sort:
        raise usage_error("--reverse needs --sort COLUMN")
    of_tables = {"--by": options.by, "--sort": options.sort, "--wide": options.wide}
    others = {"--html": options.html, "--export": options.export}
    others |= {"--compare": options.compare, "--explain": options.explain}
    for option in (option for option, given in of_tables.items() if given):
        for other in (other for other, given in others.items() if given):
            raise usage_error(f"{other} and {option} exclude each other")


# What is written is no trace, and has a known form.
def _check_output(options: argparse.Namespace) -> None:
    for option, place, whole in (("--html", options.html, "the page"), ("--export", options.export, "an export")):
        if place and options.limit:
            raise usage_error(f"--limit: {whole} has all rows", f"leave it out with {option}")
    if options.html == "-":
        raise usage_error("--html -: expected a file, or /dev/stdout")
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
        "--csv": options.csv,
        "--export": options.export,
    }
    beside = [option for option, given in others.items() if given]
    if options.html:
        _check_output(options)
    if beside or options.fail_on not in {None, REGRESSION}:
        raise usage_error(f"--compare and {beside[0] if beside else f'--fail-on {options.fail_on}'} exclude each other")
    # The page says more of the later runs.
    before, after = _whole(options.traces, details=False), _whole(options.compare, details=bool(options.html))
    changes = compare(before, select(before, selection), after, select(after, selection))
    if options.html:
        _write_page(after, selection, _judged(after, selection), Path(options.html), changes=changes)
    elif options.json:
        more = ("effect", "is_regression")
        rows = [asdict(change) | {name: getattr(change, name) for name in more} for change in changes]
        print(
            json.dumps(
                {
                    "schema_version": SCHEMA_VERSION,
                    "before": described(before),
                    "after": described(after),
                    "changes": rows,
                },
                indent=2,
            )
        )
    else:
        print_comparison(table_console(), changes, terminal_width(), options.limit)
    is_worse = any(change.is_regression for change in changes)
    if options.fail_on and not is_worse and not all(trace.complete for trace in (*before.files, *after.files)):
        raise DatacrumbsError("a trace is not complete, so that there is no regression is not known")
    return ExitCode.FOUND if options.fail_on and is_worse else ExitCode.DONE


# Traces of which every call has a line.
def _whole(places: list[Path], *, details: bool) -> Traces:
    traces = read_traces(find_traces(places), details=details)
    check_apart(traces)
    for trace in traces.files:
        if trace.sampled or trace.profiles:
            raise usage_error(f"{printable(str(trace.path))}: not every call has a line, so it cannot be compared")
        if not trace.complete:
            warn(f"{printable(str(trace.path))}: {printable(trace.shortcoming)}")
    return traces


def _check_explaining(options: argparse.Namespace) -> None:
    others = {
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
        print(
            json.dumps(
                {"schema_version": SCHEMA_VERSION, "traces": described(traces), "explanation": asdict(found)}, indent=2
            )
        )
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
    others |= {"--wide": options.wide, f"--by {PATTERN}": options.by == PATTERN}
    beside = [option for option, given in others.items() if given]
    if beside:
        raise usage_error(
            f"--engine and {beside[0]} exclude each other: {beside[0]} needs the calls of all runs together",
            "with --engine: tables (--by any other view, --sort, --limit, --json, --csv) of selected calls "
            "(--name, --path, --pid, --rank, --since); or leave out --engine and read fewer traces",
        )
    whole = read_distributed(find_traces(options.traces or [_last()]), selection, list(limits(options)))
    print_tables(options, whole.traces, clocks_of(whole.traces.files), whole.rows, None)


def _write_page(
    traces: Traces,
    selection: CallSelection,
    findings: Findings | None,
    place: Path,
    *,
    explanation: Explanation | None = None,
    changes: list[Change] | None = None,
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
    contents.explanation, contents.changes = explanation, changes
    text = render(contents)
    if place.exists() and not place.is_file():  # a terminal, a pipe
        try:
            place.write_text(text, encoding="utf-8")
        except OSError as error:
            raise DatacrumbsError(f"{printable(str(place))}: cannot be written: {error.strerror}") from None
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
