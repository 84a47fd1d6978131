"""``datacrumbs_list``: the caller's runs and traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_json, add_prefix

if TYPE_CHECKING:
    import argparse

    from datacrumbs.commands._command import Run


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add_json(parser)
    add_prefix(parser)


def _load() -> Run:
    from datacrumbs.commands._runs import show_runs

    return show_runs


COMMAND = Command(
    name="list",
    summary="List your runs and traces, newest first: when, what, how large, and whether it is complete.",
    description="It looks for traces where this host keeps them and in the working directory. Root sees everyone's.",
    examples=("datacrumbs_list",),
    arguments=arguments,
    load=_load,
)
