"""Tables of a page: report rows as cells, under the headings that people read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from datacrumbs.output import printable
from datacrumbs.report.human_readable import size
from datacrumbs.report.tables import HEADINGS, TEXTS, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LONGEST_TEXT = 1024
"""Characters of a name; of a longer one the beginning and the end are shown."""
_HEADING = 'th scope="row"'
BANDWIDTH = "bandwidth"
EXTRA_HEADINGS = {BANDWIDTH: "bytes/s", "own": "self", "busy": "busy", "share": "share", "spread": "durations"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One value.

    Args:
        text: As people read it.
        order: By which rows are sorted where the text does not say it exactly; else empty.
        is_text: Whether it is text and no number.
        mark: A class of style, or empty.
        drawing: Shown in place of the text.
    """

    text: str
    order: str = ""
    is_text: bool = False
    mark: str = ""
    drawing: Markup | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table.

    Args:
        name: Its place in the page, a word.
        caption: What a row is, and of what its numbers are sums.
        headings: Of the columns, with whether it is one of text.
        rows: All with as many cells as there are headings.
        more: How many rows are left out.
        searchable: Whether there are enough rows to look for one.
    """

    name: str
    caption: str
    headings: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: int = 0
    searchable: bool = False

    @property
    def body(self) -> Markup:
        """The rows as HTML; a template takes several times as long for tables of thousands of rows."""
        # What is not markup of ours is escaped in each cell.
        rows = ("".join(map(_html, row, chain([_HEADING], repeat("td")))) for row in self.rows)
        return Markup("".join(f"<tr>{row}\n" for row in rows))  # noqa: S704


def shortened(text: str) -> str:
    """Text that steers nothing, without its middle where it is very long."""
    text = printable(text)
    half = LONGEST_TEXT // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]} ... {left_out:,} characters ... {text[-half:]}"


def sheet(
    name: str,
    caption: str,
    keys: Sequence[str],
    rows: Sequence[dict[str, Any]],
    extra: dict[str, Callable[[dict[str, Any]], Cell]] | None = None,
    *,
    total: int | None = None,
    budget: int | None = None,
) -> Sheet:
    """A table of report rows.

    Args:
        name: See `Sheet`.
        caption: See `Sheet`.
        keys: Columns, of the rows or of ``extra``.
        rows: From `datacrumbs.report.summary.table`.
        extra: Makes the cells of columns that the rows do not have.
        total: How many rows there are where ``rows`` are the first of them.
        budget: Characters of text that the cells may have; the rows behind it are left out.
    """
    made = {BANDWIDTH: bandwidth} | (extra or {})
    kept = tuple(_within(budget, (tuple(_cell(key, row, made) for key in keys) for row in rows)))
    headings = tuple((EXTRA_HEADINGS.get(key) or HEADINGS.get(key, key), key in TEXTS) for key in keys)
    more = (total if total is not None else len(rows)) - len(kept)
    return Sheet(name, caption, headings, kept, more, len(kept) > 10)


def bandwidth(row: dict[str, Any]) -> Cell:
    """Bytes of the calls by the time that they took."""
    if not row["bytes"] or not row["time_us"]:
        return Cell("")
    rate = row["bytes"] * 1e6 / row["time_us"]
    uncertain = {"bytes", "time_us"} & set(row.get("approximate", ()))
    return Cell(f"{'~' if uncertain else ''}{size(round(rate))}/s", f"{rate:.0f}")


def _cell(key: str, row: dict[str, Any], made: dict[str, Callable[[dict[str, Any]], Cell]]) -> Cell:
    if key in made:
        return made[key](row)
    text = row[key] or "" if key == "command_line" else shown(key, row)
    if key in TEXTS:
        return Cell(shortened(text), is_text=True, mark="path" if key in {"path", "process", "command_line"} else "")
    value = row[key]
    exact = value is None or text == str(value)
    return Cell(text, "" if exact else str(value))


def _html(cell: Cell, tag: str) -> str:
    kind = f' class="{"text " if cell.is_text else ""}{escape(cell.mark)}"' if cell.is_text or cell.mark else ""
    order = f' data-v="{escape(cell.order)}"' if cell.order else ""
    return f"<{tag}{kind}{order}>{cell.drawing or escape(cell.text)}"


def _within(budget: int | None, rows: Iterator[tuple[Cell, ...]]) -> Iterator[tuple[Cell, ...]]:
    spent = 0
    for row in rows:
        spent += sum(12 + _size(cell.text) + len(cell.order) for cell in row)
        if budget is not None and spent > budget:
            return
        yield row


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
