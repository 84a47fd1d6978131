"""``datacrumbs_service_wrapper``: a job's run on this node, without a scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_prefix, add_timeout

if TYPE_CHECKING:
    import argparse

START_SECONDS = 180.0
"""As long as systemd gives a run for its start, in which it may have to compile the probe program."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    parser.add_argument("action", choices=("start", "stop"), help="start the run, or end it")
    parser.add_argument("job", metavar="JOB", help="the job, which is also the id of its run")
    parser.add_argument("user", metavar="USER", nargs="?", help="whose programs are traced; not needed to stop")
    parser.add_argument("probes", metavar="PROBES", nargs="?", help="the user's probe file; not needed to stop")
    add_timeout(parser, "until programs are traced, or until the trace is complete", START_SECONDS)
    add_prefix(parser)


COMMAND = Command(
    name="service_wrapper",
    summary="Start or end a job's run on this node, as prolog and epilog do, but without a scheduler.",
    description=(
        "Needs root. The run traces USER's marked programs that name this run or none. To stop it, neither the user "
        "nor the probe file is needed. Exit status 0: programs are traced, or the trace is complete."
    ),
    examples=(
        "sudo datacrumbs_service_wrapper start test-1 alice /home/alice/probes.json.gz",
        "sudo datacrumbs_service_wrapper stop test-1 alice /home/alice/probes.json.gz",
    ),
    arguments=arguments,
    work="_plain_jobs:start_or_stop",
    section=8,
)
