"""What ``datacrumbs_report`` does: tables, a page, an export, an explanation or a comparison."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import usual_prefix
from datacrumbs.commands._console import table_console, terminal_width
from datacrumbs.commands._reading_progress import reading_progress
from datacrumbs.commands._report_tables import (
    SCHEMA_VERSION,
    described,
    limits,
    print_tables,
    view_of,
    warn_of_empty,
    warn_of_gaps,
)
from datacrumbs.errors import DatacrumbsError, ExitCode, reworded, usage_error
from datacrumbs.output import counted, first_few, inform, printable, warn
from datacrumbs.report import PATTERN, REGRESSION
from datacrumbs.report.call_selection import ALL, CallSelection, check_order, parse_moment, select
from datacrumbs.report.collectives import align
from datacrumbs.report.comparing import compare
from datacrumbs.report.comparison_table import print_comparison
from datacrumbs.report.empty_selections import left_by, why_empty
from datacrumbs.report.explaining import explain
from datacrumbs.report.explanation_table import print_explanation
from datacrumbs.report.exports.endings import COMPRESSED, WITH_ARGUMENTS, ending, export
from datacrumbs.report.findings.printing import summary
from datacrumbs.report.human_readable import size
from datacrumbs.report.known_runs import MAIN_VIEWS, KnownRuns
from datacrumbs.report.node_clocks import Clocks, clocks_of
from datacrumbs.report.overlapping_traces import check_apart
from datacrumbs.report.page.figures import PAGE_VIEWS
from datacrumbs.report.path_groups import globs_of
from datacrumbs.report.selected_calls import SelectedCalls
from datacrumbs.report.summary_cache import SummaryCache
from datacrumbs.secure.files import write_over
from datacrumbs.system import SystemPaths
from datacrumbs.trace.reader import find_traces, read_traces

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from datacrumbs.report.comparing import Change
    from datacrumbs.report.explaining import Explanation
    from datacrumbs.report.findings.judging import Findings
    from datacrumbs.trace.reader import Traces


_GZIP = b"\x1f\x8b"
_OF_ALL_CALLS = frozenset({"function", "process", "layer"})


def _moment(option: str, text: str | None) -> int | None:
    with reworded(f"{option}: "):
        return None if text is None else parse_moment(text)


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
    details |= bool(options.export and ending(Path(options.export)) in WITH_ARGUMENTS)
    calls = _asked_calls(options, selection, find_traces(options.traces or [_last()]), details=details)
    clocks = _clocks(calls.traces, options.align)
    if options.explain and not options.html:
        _explain(options, calls.traces, selection)
        return ExitCode.DONE
    if options.export or options.html:
        warn_of_empty(why_empty(calls.traces, selection))
    findings = calls.findings() if judged else None
    if options.export:
        _export(calls.traces, selection, Path(options.export))
    elif options.html:
        explanation = _explained(options, calls.traces, selection) if options.explain else None
        _write_page(calls, selection, findings, Path(options.html), explanation=explanation)
    else:
        print_tables(options, calls, clocks, findings, lambda: why_empty(calls.traces, selection))
    if isinstance(calls, KnownRuns) and not view_of(options):
        calls.keep_tables()
    return _status(findings, options.fail_on)


# Those of the traces, or of what was found out before where that is enough.
def _asked_calls(
    options: argparse.Namespace, selection: CallSelection, paths: Sequence[Path], *, details: bool
) -> KnownRuns | SelectedCalls:
    views = PAGE_VIEWS if options.html else list(limits(options))

    def read(paths: Sequence[Path]) -> Traces:
        with reading_progress(paths) as passed:
            return read_traces(paths, details=details, passed=passed)

    if selection == ALL and not (options.wide or options.align or options.explain or options.export):
        system = SystemPaths(usual_prefix().absolute())
        cache = SummaryCache.of_user(system, os.environ, gives=not options.fresh)
        return KnownRuns(paths, read, cache, views if view_of(options) else MAIN_VIEWS)
    calls = SelectedCalls(read(paths), selection, views, wide=options.wide)
    if len(paths) > 1:
        check_apart(calls.traces, calls.lives)
    return calls


# What tables are like is for tables alone.
def _check_table_options(options: argparse.Namespace) -> None:
    if options.reverse and not options.sort:
        raise usage_error("--reverse needs --sort COLUMN")
    _exclude(
        _given(options, "--html", "--export", "--compare", "--explain"), _given(options, "--by", "--sort", "--wide")
    )


# Which of these options are given.
def _given(options: argparse.Namespace, *names: str) -> list[str]:
    return [name for name in names if getattr(options, name.removeprefix("--").replace("-", "_"))]


def _exclude(some: Sequence[str], others: Sequence[str]) -> None:
    if some and others:
        raise usage_error(f"{some[0]} and {others[0]} exclude each other")


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
    if options.html:
        _check_output(options)
    fails = [f"--fail-on {options.fail_on}"] if options.fail_on not in {None, REGRESSION} else []
    _exclude(["--compare"], _given(options, "--explain", "--csv", "--export") + fails)
    # The page says more of the later runs.
    before = _whole(options, selection, options.traces, details=False)
    after = _whole(options, selection, options.compare, details=bool(options.html))
    changes = compare(before.function_sums(), after.function_sums())
    if options.html:
        _write_page(after, selection, after.findings(), Path(options.html), changes=changes)
    elif options.json:
        more = ("effect", "is_regression")
        rows = [asdict(change) | {name: getattr(change, name) for name in more} for change in changes]
        print(
            json.dumps(
                {
                    "schema_version": SCHEMA_VERSION,
                    "before": described(before.traces),
                    "after": described(after.traces),
                    "changes": rows,
                },
                indent=2,
            )
        )
    else:
        print_comparison(table_console(), changes, terminal_width(), options.limit)
    is_worse = any(change.is_regression for change in changes)
    lacking = [trace.path for trace in (*before.traces.files, *after.traces.files) if trace.lacking]
    if options.fail_on and not is_worse and lacking:
        some = first_few([printable(str(path)) for path in lacking])
        raise DatacrumbsError(f"whether there is a regression is not known: calls are missing in {some}")
    return ExitCode.FOUND if options.fail_on and is_worse else ExitCode.DONE


# Traces of which every call has a line.
def _whole(
    options: argparse.Namespace, selection: CallSelection, places: list[Path], *, details: bool
) -> KnownRuns | SelectedCalls:
    calls = _asked_calls(options, selection, find_traces(places), details=details)
    for trace in calls.traces.files:
        if trace.sampled or trace.profiles:
            raise usage_error(f"{printable(str(trace.path))}: not every call has a line, so it cannot be compared")
    warn_of_gaps(calls.traces)
    warn_of_empty(why_empty(calls.traces, selection))
    return calls


def _check_explaining(options: argparse.Namespace) -> None:
    others = ("--csv", "--export") if options.html else ("--csv", "--export", "--fail-on")
    _exclude(_given(options, "--explain"), _given(options, *others))
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

    beside = _given(options, "--html", "--export", "--explain", "--compare", "--fail-on", "--align", "--wide")
    beside += [f"--by {PATTERN}"] if options.by == PATTERN else []
    if beside:
        raise usage_error(
            f"--engine and {beside[0]} exclude each other: {beside[0]} needs the calls of all runs together",
            "with --engine: tables (--by any other view, --sort, --limit, --json, --csv) of selected calls "
            "(--name, --path, --pid, --rank, --since); or leave out --engine and read fewer traces",
        )
    whole = read_distributed(find_traces(options.traces or [_last()]), selection, list(limits(options)))
    # The calls are not here: only of some tables it is known that each call has a row.
    knows = not _OF_ALL_CALLS.isdisjoint(limits(options))
    print_tables(options, whole, clocks_of(whole.traces.files), None, lambda: left_by(selection) if knows else "")


def _write_page(
    calls: KnownRuns | SelectedCalls,
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

    contents = gather(calls, findings, selected=selection != ALL)
    contents.explanation, contents.changes = explanation, changes
    text = render(contents)
    write_over(place, text.encode())
    inform(f"{printable(str(place))}: {size(len(text.encode()))}")


def _export(traces: Traces, selection: CallSelection, place: Path) -> None:
    if len(traces.profiles) or any(trace.sampled for trace in traces.files):
        warn("calls that were only counted or added up have no lines, so they are not in what is exported")
    warn_of_gaps(traces)
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

    path = last_trace(SystemPaths(usual_prefix().absolute()))
    inform(f"trace {printable(str(path))}")
    return path
