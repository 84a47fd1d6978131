"""What ``datacrumbs_top`` does."""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any

from datacrumbs.commands._console import terminal_width
from datacrumbs.commands._live_metrics import exposition
from datacrumbs.commands._live_screen import Screen
from datacrumbs.commands._live_table import Choice, table_lines
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.output import inform
from datacrumbs.runs.snapshot_client import WatchedRun, runs_to_watch, user_of
from datacrumbs.secure.files import write_atomically
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_MOST_RUNS = 64
"""Of which metrics are written; how many there are is a metric of its own."""
ROUND_SECONDS = 12.0
"""How long runs have to answer, all together: one whose snapshots are large makes one in 10 s."""


def look_on(options: argparse.Namespace) -> None:
    """Show a run, or write the metrics of runs.

    Raises:
        DatacrumbsError: (exit 1) when there is no such run of the caller's, or it does not answer; (exit 2) for
            options that exclude each other.
    """
    paths = SystemPaths(options.prefix.absolute())
    _check(options)
    if options.prometheus:
        _write_metrics(paths, options)
        return
    look = WatchedRun(paths, options.run or _last(paths))
    try:
        choice = Choice(options.by or "function", options.sort or "busy")
        if options.json:
            _print_json(look, options)
        elif options.once or not _is_screen():
            document = look.ask()
            print("\n".join(table_lines(document, choice, terminal_width(), options.limit)))
        else:
            Screen(look, choice, options.interval).run()
    finally:
        look.close()


def _check(options: argparse.Namespace) -> None:
    of_tables = {"--by": options.by, "--sort": options.sort, "--limit": options.limit}
    if options.json or options.prometheus:
        for name in filter(of_tables.get, of_tables):
            raise usage_error(f"{name} applies to tables only; it cannot be used with --json or --prometheus")
    if options.prometheus and (options.json or options.run):
        raise usage_error("--prometheus writes a file about all runs; give neither RUN nor --json with it")


def _last(paths: SystemPaths) -> str:
    found = runs_to_watch(paths)
    if not found:
        raise DatacrumbsError(
            "no run of yours is known to go on here",
            hint="name one that was started for you, such as a job: datacrumbs_top RUN",
        )
    if len(found) > 1:
        inform(f"{len(found)} runs go on; this is {found[0]}. Others: {', '.join(found[1:5])}")
    return found[0]


def _is_screen() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}


def _print_json(look: WatchedRun, options: argparse.Namespace) -> None:
    if options.once:
        print(json.dumps(look.ask(), indent=2))
        return
    document: dict[str, Any] | None = look.ask()
    while document is not None:
        print(json.dumps(document), flush=True)
        if look.ended:
            return
        # At its end a run says all without being asked.
        document = look.heard(options.interval)
        if document is None and not look.ended:
            document = look.ask()


def _write_metrics(paths: SystemPaths, options: argparse.Namespace) -> None:
    while True:
        runs = runs_to_watch(paths)
        write_atomically(options.prometheus, exposition(_seen(paths, runs[:_MOST_RUNS]), len(runs)).encode())
        if options.once:
            return
        time.sleep(options.interval)


# All are asked at once and waited for until one deadline, so that one that does not answer hides no other. A run may
# end at any moment.
def _seen(paths: SystemPaths, runs: Sequence[str]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        waiting = []
        for run in runs:
            with suppress(DatacrumbsError):
                waiting.append(stack.enter_context(closing(WatchedRun(paths, run))))
        for look in waiting:
            look.question()
        end = time.monotonic() + ROUND_SECONDS
        while waiting and (left := end - time.monotonic()) > 0:
            for look in select.select(waiting, [], [], left)[0]:
                document = _heard(look)
                if document is not None:
                    # Not whose and where the run's process says that it is.
                    found[look.run] = document | {"user": user_of(paths, look.run), "host": socket.gethostname()}
                if document is not None or look.ended:
                    waiting.remove(look)
        for look in waiting:
            inform(f"run {look.run} does not answer")
    return [found[run] for run in runs if run in found]


def _heard(look: WatchedRun) -> dict[str, Any] | None:
    try:
        return look.heard()
    except DatacrumbsError as error:
        inform(error.message)
        look.ended = True
        return None
