"""``datacrumbs``: trace the processes of a probe file's user until stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import DAEMON, Command, add_prefix, add_repeated, quantity, whole_number
from datacrumbs.commands._selection import add_mode
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.quantities import megabytes, seconds

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add = parser.add_argument
    add("probes", nargs="?", type=Path, metavar="PROBES", help="signed probe file")
    add("run_id", nargs="?", metavar="RUN-ID", help="default: the scheduler's job id, else a timestamp")
    add_prefix(parser)
    add_mode(parser)
    add(
        "--attach-method",
        choices=[method.value for method in AttachMethod],
        default=AttachMethod.AUTO,
        help="how to attach to library functions (default: auto, the fastest that this kernel has)",
    )
    add(
        "--marks",
        choices=["any", "named"],
        help="named: trace only programs that name this run when they mark themselves; any: also those that name none "
        "(default: any; named if RUN-ID is the scheduler's job id, and with --pid or --cgroup)",
    )
    add_repeated(
        parser,
        "--pid",
        "PID",
        "trace this running process, and from then on its children, without a mark; can be given several times",
        whole_number,
    )
    add(
        "--cgroup",
        type=Path,
        metavar="PATH",
        help="trace all processes of this control group and of those below it, without marks; version 2 only",
    )
    add(
        "--duration",
        type=quantity(seconds),
        metavar="TIME",
        help="stop after TIME, such as 90s, 5m or 2h (seconds if it has no unit)",
    )
    size = "such as 512M or 2G (megabytes if it has no unit)"
    add("--rotate-size", type=quantity(megabytes), metavar="SIZE", help=f"start a new trace file after SIZE, {size}")
    add("--max-size", type=quantity(megabytes), metavar="SIZE", help="stop when the files reach SIZE in total")
    add("--prepare", action="store_true", help="compile what PROBES needs on this kernel, for later runs, and exit")
    add("--print-program", action="store_true", help="print the C program of the probe file and exit")
    unit = parser.add_argument_group("as a unit (datacrumbs@.service); PROBES and RUN-ID are left out")
    unit.add_argument("--instance", metavar="RUN-ID", help="trace as run/datacrumbs/datacrumbs-RUN-ID.env says")
    unit.add_argument("--clean-up", metavar="RUN-ID", help="remove what a killed daemon of this run left, and exit")


COMMAND = Command(
    name=DAEMON,
    summary="Trace the marked programs of a probe file's user until SIGINT or SIGTERM.",
    description="It needs root.",
    examples=("sudo datacrumbs /tmp/probes.json.gz myrun",),
    arguments=arguments,
    work="_daemon_run:record",
    section=8,
)
