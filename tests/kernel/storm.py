"""A tree of processes that grows: `programs/storm.c`."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def storming(program: Path) -> Iterator[subprocess.Popen[str]]:
    """The tree's first process; its input is to be closed, and read to the end."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
    assert process.returncode == 0


def since(process: subprocess.Popen[str]) -> Iterator[list[int]]:
    """What it says of each child from here on: its number, its child's, when it was forked, when it had ended."""
    for line in process.stdout:
        yield [int(word) for word in line.split()]


def children(process: subprocess.Popen[str], count: int, after: int = 0) -> list[list[int]]:
    """The same, until there are this many that were forked after a time."""
    made: list[list[int]] = []
    found = 0
    for child in since(process):
        made.append(child)
        found += child[2] > after
        if found == count:
            break
    return made
