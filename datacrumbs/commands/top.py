"""``datacrumbs_top``: what a run that goes on has recorded so far."""

from __future__ import annotations

import argparse
from pathlib import Path

from datacrumbs.commands._command import Command, add_json, add_prefix, filled, quantity, whole_number
from datacrumbs.quantities import seconds

VIEWS = ("function", "file", "process", "rank", "layer")
SORTS = ("busy", "rate", "throughput", "calls", "errors", "bytes", "time", "name")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add = parser.add_argument
    add(
        "run",
        nargs="?",
        type=filled,
        metavar="RUN",
        help="the run, as datacrumbs_list shows it (default: your last one)",
    )
    add("--by", choices=VIEWS, help="a row per function (default), file, process, rank or layer")
    add(
        "--sort",
        choices=SORTS,
        help="the column whose largest values come first: time in calls per second (busy), calls per second (rate), "
        "bytes per second (throughput), or the calls, errors, bytes or time so far; or the names (default: busy)",
    )
    add(
        "--interval",
        type=quantity(seconds),
        default=1.0,
        metavar="TIME",
        help="how often to look, in seconds or with a unit, such as 500ms or 1m (default: 1 s)",
    )
    add("--once", action="store_true", help="look once; implied where standard output is not a terminal")
    add("--limit", type=whole_number, metavar="N", help="at most N rows of a table that is printed")
    add_json(parser)
    add(
        "--prometheus",
        type=_file,
        metavar="FILE",
        help="keep FILE up to date with the figures of your runs (for root everyone's) as text for Prometheus; "
        "with --once, write it once",
    )
    add_prefix(parser)


def _file(text: str) -> Path:
    if text in {"", "-"}:  # it is replaced again and again
        raise argparse.ArgumentTypeError(f"{text!r} names no file")
    return Path(text)


COMMAND = Command(
    name="top",
    summary="Watch a run: what its programs do now, by function, file, process, rank or layer.",
    description="Only the run's user and root may watch it. Keys on a terminal: f, i, p, r and l choose the view, "
    "< and > the\ncolumn that makes the order, and q quits. --json prints a line for each look, until the run ends.",
    examples=(
        "datacrumbs_top",
        "datacrumbs_top 4711 --by file --sort throughput",
        "datacrumbs_top 4711 --once --json",
        "datacrumbs_top --prometheus /var/lib/node_exporter/datacrumbs.prom",
    ),
    arguments=arguments,
    work="_live_view:look_on",
)
