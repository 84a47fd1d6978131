"""What ``datacrumbs_list`` and ``datacrumbs_stop`` do."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from datacrumbs.commands._node_options import is_for_nodes
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.output import inform, printable, warn
from datacrumbs.report.human_readable import size
from datacrumbs.report.layout import Column, lay_out
from datacrumbs.runs.own_traces import daemons, own_traces
from datacrumbs.runs.run_client import shown_runs, stop_run
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from datacrumbs.runs.own_traces import OwnTrace

_LOOK_SECONDS = 0.1


def show_runs(options: argparse.Namespace) -> None:
    """Print the caller's runs and traces."""
    found = own_traces(SystemPaths(options.prefix.absolute()), lambda words: warn(printable(words)))
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
        return
    if not found:
        inform("no runs and no traces of yours; datacrumbs record CMD makes one")
        return
    for line in lay_out(list(_columns(found)), None):
        print(line)


def _columns(found: Sequence[OwnTrace]) -> Iterator[Column]:
    yield Column("when", tuple(_moment(each.when) for each in found))
    yield Column("size", tuple(size(each.size) for each in found), right=True)
    for heading in ("state", "run", "command", "trace"):
        yield Column(heading, tuple(printable(getattr(each, heading)) for each in found))


# A file's time is what its owner has set, which may be of no year that people have.
def _moment(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return "?"


def end_run(options: argparse.Namespace) -> int | None:
    """Have a run come to its end, here or on many nodes, and wait for that.

    Raises:
        DatacrumbsError: (exit 2) when it is not said which one; (exit 3) when it is none of the caller's; (exit 1) when
            it does not come to its end.
    """
    if len({options.run, options.run_id} - {None}) != 1:
        raise usage_error("expected one RUN", "datacrumbs_list shows the runs")
    run = options.run or options.run_id
    if is_for_nodes(options):
        from datacrumbs.commands._runs_on_nodes import stop

        return stop(options, run)
    paths = SystemPaths(options.prefix.absolute())
    end = time.monotonic() + options.timeout
    if os.geteuid() == 0 and not _is_served(paths, run):
        _end_daemon(paths, run, options.timeout)
        return None
    stop_run(paths, run)
    while _is_served(paths, run):
        if time.monotonic() > end:
            raise DatacrumbsError(f"run {run} has not ended within {options.timeout:g} s")
        time.sleep(_LOOK_SECONDS)
    return None


def _is_served(paths: SystemPaths, run: str) -> bool:
    with suppress(DatacrumbsError):
        return any(each.run == run for each in shown_runs(paths))
    return False


# The name is compared with those that are there; none becomes part of a path.
def _end_daemon(paths: SystemPaths, run: str, seconds: float) -> None:
    for name, pid, _ in daemons(paths):
        if name == run:
            process = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(process, signal.SIGINT)
                waiting = select.poll()
                waiting.register(process, select.POLLIN)
                if not waiting.poll(seconds * 1000):
                    raise DatacrumbsError(f"run {run} has not ended within {seconds:g} s")
            finally:
                os.close(process)
            return
    raise DatacrumbsError(f"no run {printable(run)} goes on here", hint="datacrumbs_list shows the runs")
