"""``datacrumbs_record``: run a command, trace it, print the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from datacrumbs.commands._command import Command, add_json, add_prefix, filled, quantity, whole_number
from datacrumbs.commands._selection import add_mode, add_selection
from datacrumbs.quantities import megabytes, seconds


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add = parser.add_argument
    add(
        "command",
        nargs=argparse.REMAINDER,
        metavar="CMD ARG...",
        help="the command; put -- before it if it looks like an option",
    )
    add(
        "-p", "--pid", type=whole_number, metavar="PID",
        help="instead of a command, record this running process, and its children from now on, until Ctrl-C",
    )  # fmt: skip
    add(
        "-o", "--output", type=_file, metavar="FILE",
        help="the trace to write (default: datacrumbs-CMD-TIME.pfw.gz in this directory)",
    )  # fmt: skip
    add("--site", type=filled, metavar="SITE.yaml", help="what to probe (default: the host's default.yaml)")
    add_selection(parser)
    add("--probe-file", type=_file, metavar="FILE", help="use this signed probe file instead of composing one")
    add_mode(parser)
    add(
        "--sample",
        type=whole_number,
        default=0,
        metavar="N",
        help="write a line for one call in N, and count all calls",
    )
    add(
        "--duration",
        type=quantity(seconds),
        metavar="TIME",
        help="stop tracing after TIME, such as 90s, 5m or 2h (seconds if it has no unit); CMD goes on",
    )
    add(
        "--max-size",
        type=quantity(megabytes),
        metavar="SIZE",
        help="stop tracing when the trace reaches SIZE, such as 512M or 2G (megabytes if it has no unit); CMD goes on",
    )
    add("--no-report", action="store_true", help="write the trace and print no report")
    add("--best-effort", action="store_true", help="if CMD cannot be traced, run it untraced")
    add("-n", "--dry-run", action="store_true", help="print what would be probed; run nothing")
    add_json(parser)
    add_prefix(parser)


def _file(text: str) -> Path:
    return Path(filled(text))


COMMAND = Command(
    name="record",
    summary="Run a command, trace it and all that it starts, and print a report when it has ended.",
    description=(
        "Needs root, or the services datacrumbs_sign_probes and datacrumbs_runs on this host. Under sudo, CMD runs as "
        "the user who called sudo. The exit status is CMD's; 125 if it was not run because it could not be traced, 126 "
        "if it cannot be executed, 127 if it was not found."
    ),
    examples=(
        "sudo datacrumbs_record dd if=/dev/zero of=/tmp/out.bin bs=1M count=1",
        "sudo datacrumbs_record -p 4711 --duration 30s",
    ),
    arguments=arguments,
    work="_record_choice:record",
)
