"""``datacrumbs_doctor``: what works on this host, and how to fix what does not."""

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
    from datacrumbs.commands._diagnosis import diagnose

    return diagnose


COMMAND = Command(
    name="doctor",
    summary="Report what works on this host and how to fix what does not.",
    description="Run it as root to check everything.\n"
    "Exit status: 0 when tracing can work, 1 when something that it needs is missing.",
    examples=("sudo datacrumbs_doctor",),
    arguments=arguments,
    load=_load,
)
