"""``datacrumbs_stop``: end a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_prefix

if TYPE_CHECKING:
    import argparse

    from datacrumbs.commands._command import Run


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    parser.add_argument("run", metavar="RUN", help="the run, as datacrumbs_list shows it")
    add_prefix(parser)


def _load() -> Run:
    from datacrumbs.commands._runs import end_run

    return end_run


COMMAND = Command(
    name="stop",
    summary="End a run of yours, and wait until its trace is complete.",
    description="The programs that it traces go on. Root can end everyone's runs.",
    examples=("datacrumbs_stop run-20261128T214804-3cc8db996e0d3ef3",),
    arguments=arguments,
    load=_load,
)
