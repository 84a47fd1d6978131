"""Rows in the order of a column."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from datacrumbs.model.layers import LAYERS
from datacrumbs.report.nanoseconds import NANOSECONDS, time_of
from datacrumbs.report.tables import HEADINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Row = dict[str, Any]

_DEPTHS = {layer: position for position, layer in enumerate(LAYERS.values())}
HIDDEN = frozenset({"approximate", "margin"})


def depth_of(layer: str) -> tuple[int, str]:
    """Where people read of a layer, by its name: from the application down, unknown ones first."""
    return _DEPTHS.get(layer, -1), layer


def by_layer(rows: Iterable[Row]) -> list[Row]:
    """Rows of functions in the order of the stack; within a layer the most time first, sizes from the smallest."""
    rows = list(rows)
    times: dict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        times[row["layer"], row["name"]] += time_of(row)

    def place(row: Row) -> tuple[tuple[int, str], float, str, int]:
        layer, name = row["layer"], row["name"]
        return depth_of(layer), -times[layer, name], name, row.get("least_bytes") or 0

    return sorted(rows, key=place)


def in_its_order(view: str, rows: Sequence[Row]) -> list[Row]:
    """The rows of a view in the order in which people read them, where that is not their time."""
    if view in {"function", "size"}:
        return by_layer(rows)
    return sorted(rows, key=lambda row: int(row["phase"])) if view == "time" else list(rows)


def column_of(name: str, rows: Sequence[Row]) -> str | None:
    """The key of a column, by its key or its heading; None where the rows have none of that name."""
    keys = columns_of(rows)
    return name if name in keys else next((key for key in keys if HEADINGS.get(key) == name), None)


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Keys by which rows can be sorted."""
    return [key for key in rows[0] if key not in HIDDEN] if rows else []


def shown_columns(rows: Sequence[Row]) -> str:
    """The same for people: each with its heading, where that is another word."""
    return ", ".join(
        f"{key} ({heading})" if (heading := HEADINGS.get(key, key)) != key else key for key in columns_of(rows)
    )


def in_order(rows: Sequence[Row], key: str, *, reverse: bool) -> list[Row]:
    """Numbers from the largest, texts from A; the other way round with ``reverse``. Rows without a value come last."""
    valued = [row for row in rows if row[key] is not None]
    is_text = any(isinstance(row[key], str | list) for row in valued)
    exact = key.replace("_us", "_ns")

    def place(row: Row) -> Any:
        # What is shown in nanoseconds is in their order.
        return row[key] if exact not in NANOSECONDS or row.get(exact) is None else row[exact] / 1000

    valued.sort(key=place, reverse=reverse == is_text)
    return valued + [row for row in rows if row[key] is None]
