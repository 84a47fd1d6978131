"""Each call has the call that it was made in, however deep, and never one of a lower layer."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.model.layers import LAYERS
from datacrumbs.report.parents import with_parents
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path

STACK = ("HDF5", "MPIIO", "POSIX", "SYS", "VFS", "BLOCK")


@pytest.fixture
def parents_of(made, tmp_path: Path):
    """Name of each call -> name of the one around it; names are unique."""

    def parents(lines: list[dict[str, Any]]) -> dict[str, str | None]:
        traces = read_traces([made.write(tmp_path / "run.pfw.gz", lines)])
        nested = with_parents(traces.calls.collect(), ("pid", "tid"))
        names = nested["name"].cast(str).to_list()
        return {name: names[at] if at >= 0 else None for name, at in zip(names, nested["parent"], strict=True)}

    return parents


def test_random_stacks(made, parents_of) -> None:
    chooser = random.Random(11)
    lines: list[dict[str, Any]] = []
    expected: dict[str, str | None] = {}

    def nest(thread: int, begin: int, depth: int, above: str | None) -> int:
        name = f"c{len(expected)}"
        expected[name] = above
        end = begin + chooser.randrange(1, 9)
        for _ in range(chooser.randrange(4) if depth + 1 < len(STACK) else 0):
            end = nest(thread, end, depth + 1, name) + chooser.randrange(1, 5)
        lines.append(made.call(name, STACK[depth], begin, end - begin, thread=thread))
        return end

    for thread in (7, 8):
        now = 1000
        for _ in range(53):
            now = nest(thread, now, chooser.randrange(3), None) + chooser.randrange(1, 9)
    assert len(expected) > 500
    assert parents_of(lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # name, category, begin, duration in the file's order
        ([("a", "POSIX", 5, 9), ("b", "SYS", 5, 9)], {"a": None, "b": "a"}),
        ([("b", "SYS", 5, 9), ("a", "POSIX", 5, 9)], {"a": None, "b": "a"}),
        ([("a", "SYS", 5, 9), ("b", "POSIX", 6, 2)], {"a": None, "b": None}),  # no system call makes calls of libc
        ([("a", "POSIX", 5, 9), ("b", "SYS", 6, 2), ("c", "POSIX", 6, 1)], {"a": None, "b": "a", "c": "a"}),
        ([("a", "POSIX", 5, 3), ("b", "SYS", 8, 0)], {"a": None, "b": "a"}),
        ([("a", "POSIX", 5, 3), ("b", "POSIX", 8, 0)], {"a": None, "b": None}),
        # An instant before a call of the same microsecond does not take what is inside of that.
        ([("x", "POSIX", 8, 0), ("a", "POSIX", 8, 4), ("c", "SYS", 9, 1)], {"x": None, "a": None, "c": "a"}),
        ([("a", "POSIX", 5, 9), ("b", "BLOCK", 7, 0)], {"a": None, "b": "a"}),
    ],
)
def test_calls_that_share_a_microsecond(made, parents_of, lines: list[tuple], expected: dict) -> None:
    assert parents_of([made.call(*line) for line in lines]) == expected


def test_nothing(parents_of) -> None:
    assert parents_of([]) == {}


def test_the_layers_of_these_tests_are_layers() -> None:
    assert [name for name in LAYERS if name in STACK] == list(STACK)
