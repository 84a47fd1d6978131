"""The explanation of a function as the page shows it: a picture of the tree, and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from datacrumbs.output import counted, printable
from datacrumbs.report.explanation_table import difference_columns, difference_title, tree_columns, walk
from datacrumbs.report.human_readable import duration
from datacrumbs.report.page.drawing import layer_class
from datacrumbs.report.page.sections import LAYER_NAMES
from datacrumbs.report.page.sheets import Cell, Sheet, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datacrumbs.report.explaining import Explanation, Node
    from datacrumbs.report.layout import Column
    from datacrumbs.report.page.contents import Contents

MOST = 500
"""Paths shown."""
ROW = 24
LEAST = 0.5
"""Of 1000: narrower nodes are not drawn."""


def drawn_explanation(contents: Contents) -> dict[str, Any] | None:
    """What the section says; None where it was not asked for."""
    found = contents.explanation
    if found is None:
        return None
    rows = list(walk(found.root))
    about = (
        f"{counted(found.units, 'call')} in {duration(found.time_us)}, half of them at most {duration(found.p50_us)}, "
        f"one of ten {duration(found.p90_us)} or more."
    )
    caption = (
        "Each row is a path: calls made directly inside those of the row that it is below, on their thread. Self: "
        "their time without that of the rows below; share: of all time. Bytes of different layers are the same bytes."
    )
    differs = None
    if found.slow_units and not found.incomplete:
        differs = _sheet("explained-slow", f"Slow against fast: {difference_title(found)}.", difference_columns(found))
    return {
        "function": shortened(found.function),
        "about": about,
        "incomplete": printable(found.incomplete),
        "picture": None if found.incomplete else _icicle(found),
        "sheet": _sheet("explained", caption, tree_columns(found, rows[:MOST]), max(len(rows) - MOST, 0)),
        "difference": differs,
    }


def _sheet(name: str, caption: str, columns: Sequence[Column], more: int = 0) -> Sheet:
    headings = tuple((column.heading, not column.right) for column in columns)
    cells = zip(*(column.cells for column in columns), strict=True)
    kinds = [not column.right for column in columns]
    # The indentation that says how deep a row is must stay.
    rows = tuple(
        tuple(
            Cell(shortened(text).replace("  ", "\u2003"), is_text=kind) for text, kind in zip(row, kinds, strict=True)
        )
        for row in cells
    )
    return Sheet(name, caption, headings, rows, more)


# The calls of a node below it, as wide as their part of the time; what is left of it is its own.
def _icicle(found: Explanation) -> Markup:
    parts = list(_rectangles(found.root, 0.0, 1000.0, 0))
    height = max(depth for depth, _ in parts) + 1
    frame = Markup(
        '<svg class="icicle" viewBox="0 0 1000 {0}" height="{1}" preserveAspectRatio="none" role="img">{2}</svg>'
    )
    return frame.format(height, height * ROW, Markup().join(part for _, part in parts))


def _rectangles(node: Node, begin: float, width: float, depth: int) -> Iterator[tuple[int, Markup]]:
    title = (
        f"{printable(node.name)} ({printable(node.layer)}): {duration(node.time_us)}, itself {duration(node.self_us)}"
    )
    piece = Markup('<rect class="{}" x="{:.2f}" y="{}" width="{:.2f}" height=".92"><title>{}</title></rect>')
    yield depth, piece.format(layer_class(LAYER_NAMES.get(node.layer, node.layer)), begin, depth, width, title)
    for child in node.children:
        part = width * child.time_us / max(node.time_us, 1)
        if part >= LEAST:
            yield from _rectangles(child, begin, part, depth + 1)
        begin += part
