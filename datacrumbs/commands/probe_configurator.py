"""``datacrumbs_probe_configurator``: site file and providers in, signed probe file out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_json, add_prefix, filled
from datacrumbs.commands._selection import add_selection

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add = parser.add_argument
    add("site", nargs="?", metavar="SITE.yaml", help="a path, or the name of a file in /etc/datacrumbs/configs")
    add("output", nargs="?", metavar="OUT.json.gz", help="the signed probe file to write")
    add_selection(parser)
    add("--program", type=filled, metavar="EXE", help="probe only the libraries that EXE loads")
    add(
        "--root", type=filled, metavar="DIR",
        help="find EXE and its libraries below this root directory (of a container, a chroot; /proc/PID/root)",
    )  # fmt: skip
    add("--no-move", action="store_true", help="put each library probe on its function's first instruction")
    failures = parser.add_mutually_exclusive_group().add_argument
    failures(
        "--known-failures", type=filled, action="append", default=[], metavar="TRACE",
        help="leave out what could not be probed in the run of this trace, or of the traces in this directory "
        "(default: in your latest runs, of traces below trace_log_dir)",
    )  # fmt: skip
    failures("--no-known-failures", action="store_true", help="leave nothing out because it could not be probed before")
    add("--fresh", action="store_true", help="compose and sign again even if nothing has changed since the last time")
    add("--show", nargs="?", const="", metavar="FILE", help="print a probe file and exit")
    add(
        "--check", nargs="?", const="", metavar="FILE",
        help="check a probe file on this host as the daemon would, and exit; start nothing",
    )  # fmt: skip
    add("--list", action="store_true", help="print what can be probed on this host and exit")
    add_json(parser)
    add_prefix(parser)


COMMAND = Command(
    name="probe_configurator",
    summary="Create a probe file for this host from a site file and have the signing service sign it.",
    description=(
        "Any user may run it. datacrumbs probes make SITE.yaml OUT.json.gz is the same; datacrumbs probes show FILE, "
        "check FILE and list are its options of these names."
    ),
    examples=(
        "datacrumbs_probe_configurator default.yaml /tmp/probes.json.gz --without mpi",
        "datacrumbs_probe_configurator default.yaml /tmp/probes.json.gz --root /srv/container --program /usr/bin/app",
    ),
    arguments=arguments,
    work="_composing:configure",
)
