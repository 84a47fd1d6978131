"""The options by which a command line selects of a site file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import add_repeated, filled
from datacrumbs.model.plan import Mode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    add_repeated(
        parser,
        "--providers",
        "A,B",
        "use only these providers; site, syscalls, kprobe, uprobe, usdt and custom select entries with the key `probe`",
    )
    add_repeated(parser, "--without", "NAME", "exclude this provider; repeatable")
    parser.add_argument(
        "--preset", type=filled, metavar="P", help="use this preset instead of those that the site file names"
    )


def add_mode(parser: argparse.ArgumentParser) -> None:
    """Add ``--mode``, which takes the place of what a site file says."""
    parser.add_argument(
        "--mode",
        choices=[mode.value for mode in Mode],
        help="trace: a line for each call; profile: aggregated calls (default: what the site file says)",
    )


def names(values: Sequence[str]) -> tuple[str, ...]:
    """The names that such options give, each time with commas or blanks in between."""
    return tuple(name for value in values for name in value.replace(",", " ").split())
