"""An explanation for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.output import counted, printable
from datacrumbs.report.human_readable import duration, size
from datacrumbs.report.layout import Column, lay_out
from datacrumbs.report.tables import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from datacrumbs.report.explaining import Explanation, Node

NOTHING = (0.0, 0.0, 0.0)
MOST = 40
"""Lines of a tree."""


def print_explanation(console: Console, found: Explanation, width: int | None) -> None:
    """The tree, then how slow calls differ from fast ones where that was asked."""
    times = f"{duration(found.time_us)}, p50 {duration(found.p50_us)}, p90 {duration(found.p90_us)}"
    say(console, printable(found.function), "bold", f": {counted(found.units, 'call')}, {times}")
    if found.incomplete:
        say(console, "incomplete", "yellow", f", so times inside and shares are not known: {found.incomplete}")
    rows = list(walk(found.root))
    kept, more = rows[:MOST], rows[MOST:]
    for line in lay_out(tree_columns(found, kept), width):
        say(console, line)
    if more:
        console.print(f"... {len(more)} more paths; --json has all")
    if found.layer_bytes:
        parts = ", ".join(f"{layer} {size(number)}" for layer, number in found.layer_bytes.items())
        say(console, f"bytes by layer, each for itself: {parts}")
    if found.slow_units:
        _print_difference(console, found, width)


def walk(node: Node, depth: int = 0) -> Iterator[tuple[int, Node]]:
    """Each node of a tree with how deep it is, as it is printed."""
    yield depth, node
    for child in node.children:
        yield from walk(child, depth + 1)


def tree_columns(found: Explanation, rows: Sequence[tuple[int, Node]]) -> list[Column]:
    """The tree as a table."""
    nodes = [node for _, node in rows]
    names = [f"{'  ' * depth}{printable(node.name)}" for depth, node in rows]
    columns = [
        Column("call", tuple(names), folds=True),
        Column("layer", tuple(printable(node.layer) for node in nodes), folds=True),
        Column("calls", tuple(f"{node.calls:,}" for node in nodes), right=True),
        Column("time", tuple(duration(node.time_us) if node.time_us else "" for node in nodes), right=True),
    ]
    if not found.incomplete:
        total = max(found.time_us, 1)
        columns += [
            Column("self", tuple(duration(node.self_us) if node.self_us else "" for node in nodes), right=True),
            Column("share", tuple(f"{node.self_us / total:.1%}" if node.self_us else "" for node in nodes), right=True),
        ]
    columns.append(Column("bytes", tuple("" if node.bytes is None else size(node.bytes) for node in nodes), right=True))
    if any(node.completed for node in nodes):
        cells = (f"{duration(node.device_us)} of {node.completed:,}" if node.completed else "" for node in nodes)
        columns.append(Column("on the device", tuple(cells), right=True))
    return columns


def _print_difference(console: Console, found: Explanation, width: int | None) -> None:
    console.print()
    say(console, "Slow against fast", "bold", f": {difference_title(found)}")
    if found.incomplete:
        say(console, "incomplete: what is inside of them is not known")
        return
    for line in lay_out(difference_columns(found), width):
        say(console, line)


def difference_title(found: Explanation) -> str:
    """What is compared, in words."""
    slow = f"{found.slow_units:,} of at least {duration(found.p90_us)}"
    fast = f"{found.fast_units:,} of at most {duration(found.p50_us)}"
    return f"means of {slow}, and of {fast}"


def difference_columns(found: Explanation) -> list[Column]:
    """What slow calls do that fast ones do not, the largest difference first."""
    paths = [(path, node, node.slow or NOTHING, node.fast or NOTHING) for path, node in _paths(found.root, "")]
    total = sum(slow[1] - fast[1] for _, _, slow, fast in paths)
    paths.sort(key=lambda each: -abs(each[2][1] - each[3][1]))
    cells = [
        (
            printable(path),
            _mean(quick[0]),
            _mean(late[0]),
            duration(quick[1]),
            duration(late[1]),
            f"{(late[1] - quick[1]) / total:.0%}" if total > 0 else "",
            "" if node.bytes is None else size(round(quick[2])),
            "" if node.bytes is None else size(round(late[2])),
        )
        for path, node, late, quick in paths[:MOST]
    ]
    headings = ("path", "calls fast", "slow", "self fast", "slow", "of the difference", "bytes fast", "slow")
    return [
        Column(heading, tuple(row[place] for row in cells), right=place > 0, folds=place == 0)
        for place, heading in enumerate(headings)
    ]


def _paths(node: Node, above: str) -> Iterator[tuple[str, Node]]:
    path = f"{above} > {node.name}" if above else node.name
    yield path, node
    for child in node.children:
        yield from _paths(child, path)


def _mean(number: float) -> str:
    return f"{number:,.2f}".rstrip("0").rstrip(".")
