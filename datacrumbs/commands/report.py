"""``datacrumbs_report``: what a trace says, by function, file, process, layer or error."""

from __future__ import annotations

import argparse

from datacrumbs.commands._command import Command, add_repeated, filled, whole_number
from datacrumbs.report import FILES_SHOWN, PATTERN, PHASES, REGRESSION, VIEWS
from datacrumbs.report.findings import SEVERITIES


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add = parser.add_argument
    add(
        "traces",
        nargs="*",
        type=filled,
        metavar="TRACE",
        help="a trace (.pfw.gz), or a directory of them (default: your last one)",
    )
    _add_tables(parser)
    _add_forms(parser)
    _add_selection(parser)
    add(
        "--engine",
        choices=("dask",),
        help="read run by run, on all processors or on the cluster at DASK_SCHEDULER_ADDRESS, for more traces than one "
        "machine has memory for; tables alone",
    )
    add(
        "--fresh",
        action="store_true",
        help="read the traces again instead of using what earlier reports found out",
    )
    add(
        "--align",
        choices=("mpi",),
        help="shift the clocks of several nodes so that collective calls of MPI are in order: none is left before all "
        "have entered",
    )
    add(
        "--fail-on",
        choices=(*SEVERITIES, REGRESSION),
        help="end with status 4 where there is a finding of this severity or above (says so on stderr if rules were "
        "not judged); with --compare, where there is a regression: a function that takes more time than before",
    )
    add(
        "--limit",
        type=whole_number,
        metavar="N",
        help=f"at most N rows of each table (default: {FILES_SHOWN} files when functions are listed too, else all)",
    )


def _add_tables(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--by",
        choices=(*VIEWS, PATTERN),
        metavar="VIEW",
        help="one table, a row per function, file, directory, series (files whose names differ in numbers alone), "
        "filesystem (type of), channel (pipe, socket, terminal), process, rank, node, layer, size (of requests), time "
        f"({PHASES} parts of the run, with the calls that begin in each) or error, or the order of the requests on "
        "each file (pattern)",
    )
    add(
        "--sort",
        type=filled,
        metavar="COLUMN",
        help="order rows by a column, by its heading or its key in --json: numbers from the largest, texts from A",
    )
    add("--reverse", action="store_true", help="with --sort: from the smallest, or from Z")
    add(
        "--wide",
        action="store_true",
        help="all columns: also bytes per call, opens, p90, max, first and last call; and where each call has a line, "
        "the time of the calls themselves (self), by the clock (wall), and its share of the run",
    )
    add(
        "--explain",
        type=filled,
        metavar="FUNCTION",
        help="the tree of what the calls of FUNCTION spent in each call that was made inside them",
    )
    add("--slow-vs-fast", action="store_true", help="with --explain: what its slow calls do that its fast ones do not")
    add(
        "--compare",
        nargs="+",
        type=filled,
        metavar="LATER",
        help="compare the runs TRACE with the runs LATER, function by function",
    )


def _add_forms(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the data as JSON")
    form.add_argument("--csv", action="store_true", help="print one table as CSV: that of --by, else the functions")
    form.add_argument(
        "--html", type=filled, metavar="OUT", help="write one page with tables and pictures to the file OUT"
    )
    form.add_argument(
        "--export",
        type=filled,
        metavar="OUT",
        help="write the calls to OUT in the form that its name ends in: .parquet, .csv, .pftrace, .pftrace.gz "
        "(Perfetto), .speedscope.json, .collapsed (flame graphs)",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    add_repeated(parser, "--name", "GLOB", "only functions whose name matches")
    add_repeated(parser, "--path", "GLOB", "only calls on files whose path matches")
    add_repeated(
        parser,
        "--not-path",
        "GLOB",
        "no calls on files whose path matches; @loader are the loader's and the locale's files, @python Python's "
        "modules, @system those below /proc, /sys and /dev",
    )
    add_repeated(parser, "--pid", "N", "only this process", whole_number)
    add_repeated(parser, "--rank", "N", "only processes of this rank", _rank)
    add = parser.add_argument
    moment = "after the first call, in seconds or with a unit, such as 1500us or 5m; or epoch microseconds"
    add("--since", metavar="TIME", help=f"only calls that end at or after TIME ({moment})")
    add("--until", metavar="TIME", help="only calls that begin at or before TIME")


def _rank(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) <= 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


COMMAND = Command(
    name="report",
    summary="Show what traces contain: findings, calls by function, the most expensive files, and any losses.",
    examples=(
        "datacrumbs_report run.pfw.gz --by file --path '/data/*' --limit 20",
        "datacrumbs_report run.pfw.gz --by directory --not-path @loader --sort bytes",
        "datacrumbs_report run.pfw.gz --html run.html",
        "datacrumbs_report run.pfw.gz --export run.pftrace",
        "datacrumbs_report before.pfw.gz --compare after.pfw.gz --fail-on regression",
        "datacrumbs_report run.pfw.gz --explain H5Dwrite --slow-vs-fast",
    ),
    arguments=arguments,
    work="_reporting:report",
)
