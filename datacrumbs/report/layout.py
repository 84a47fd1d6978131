"""Columns of text, as wide as they are or as a terminal is; a number is never cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAP = 2
NARROWEST = 16
"""Cells that a column of text keeps; where there are fewer, each row is put below its predecessor, value by value."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        heading: Its name.
        cells: Its text, one per row, without control characters.
        right: Whether it holds numbers, which are aligned at their end.
        folds: Whether a cell may go on in the next line.
    """

    heading: str
    cells: tuple[str, ...]
    right: bool = False
    folds: bool = False

    @property
    def width(self) -> int:
        """Cells that the widest entry takes."""
        return max(map(cell_len, (self.heading, *self.cells)))


def lay_out(columns: Sequence[Column], width: int | None) -> list[str]:
    """The lines of a table, the headings first where it has columns.

    Args:
        columns: All with the same number of cells.
        width: Cells of a line; None for as many as it takes.
    """
    widths = [column.width for column in columns]
    over = sum(widths) + GAP * (len(widths) - 1) - width if width is not None else 0
    for place in sorted(range(len(columns)), key=lambda place: -widths[place]):
        if over > 0 and columns[place].folds:
            less = min(over, max(widths[place] - NARROWEST, 0))
            widths[place] -= less
            over -= less
    if over > 0:
        return list(_stacked(columns, width or 1))
    rows = [[column.heading for column in columns], *zip(*(column.cells for column in columns), strict=True)]
    return [line for row in rows for line in _row(columns, row, widths)]


def _row(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    folded = [chop_cells(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    for line in range(max(map(len, folded))):
        parts = []
        for column, width, pieces in zip(columns, widths, folded, strict=True):
            text = pieces[line] if line < len(pieces) else ""
            space = " " * (width - cell_len(text))
            parts.append(space + text if column.right else text + space)
        yield (" " * GAP).join(parts).rstrip()


def _stacked(columns: Sequence[Column], width: int) -> Iterator[str]:
    for row in zip(*(column.cells for column in columns), strict=True):
        line = ""
        for column, cell in zip(columns, row, strict=True):
            entry = f"{column.heading} {cell}"
            if not cell:
                continue
            if line and cell_len(line) + GAP + cell_len(entry) > width:
                yield line
                line = ""
            line = f"{line}{' ' * GAP}{entry}" if line else entry
            if not column.right:
                *whole, line = chop_cells(line, width)
                yield from whole
        yield line
        yield ""
