"""The options by which a command line selects of a site file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.commands._command import filled

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    add = parser.add_argument
    add(
        "--providers",
        type=filled,
        metavar="A,B",
        action="append",
        default=[],
        help="use only these providers; site, syscalls, kprobe, uprobe, usdt and custom select entries with the key "
        "`probe`",
    )
    add(
        "--without",
        type=filled,
        metavar="NAME",
        action="append",
        default=[],
        help="exclude this provider; repeatable",
    )
    add("--preset", type=filled, metavar="P", help="use this preset instead of those that the site file names")


def names(values: Sequence[str]) -> tuple[str, ...]:
    """The names that such options give, each time with commas or blanks in between."""
    return tuple(name for value in values for name in value.replace(",", " ").split())
