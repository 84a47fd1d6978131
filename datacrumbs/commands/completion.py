"""``datacrumbs_completion``: what a shell needs to complete the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    parser.add_argument("shell", choices=["bash", "zsh"], metavar="{bash,zsh}", help="the shell")


COMMAND = Command(
    name="completion",
    summary="Print the completion of all commands for a shell.",
    description="Packages have installed it where shells look for it. Elsewhere, source what this command prints.",
    examples=("source <(datacrumbs_completion bash)",),
    arguments=arguments,
    work="_completions:print_completion",
)
