"""Pictures of a page, as SVG without a style of its own: colours are classes, for light, dark and print."""

from __future__ import annotations

from collections import defaultdict
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from datacrumbs.model.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from datacrumbs.report.windows import Window

LEVELS = 8
"""Steps of colour."""
BAR, BAR_HEIGHT = 4, 22
STATIC_SLICES = 400
ROW_HEIGHT = 16
"""Of a slice."""


def layer_class(category: str) -> str:
    """The class of a layer's colour."""
    order = tuple(LAYERS)
    return f"layer-{order.index(category)}" if category in order else "layer-other"


def levels(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Steps of colour: 0 for 0, the last for the largest; by square roots, so that small values show."""
    largest = float(values.max(initial=0.0))
    if largest <= 0:
        return np.zeros(values.shape, np.int64)
    steps: NDArray[np.int64] = np.ceil(np.sqrt(np.maximum(values, 0) / largest) * LEVELS).astype(np.int64)
    return steps


def heat_map(values: NDArray[np.float64], height: int) -> Markup:
    """Rows of cells, one unit each; cells of one step side by side are one line."""
    steps = levels(values)
    lines: dict[int, list[str]] = defaultdict(list)
    for row, of_row in enumerate(steps):
        edges = np.flatnonzero(np.diff(of_row)) + 1
        for begin, end in zip([0, *edges], [*edges, len(of_row)], strict=True):
            if of_row[begin]:
                lines[int(of_row[begin])].append(f"M{begin} {row}.5h{end - begin}")
    paths = "".join(f'<path class="heat-{step}" d="{"".join(parts)}"/>' for step, parts in sorted(lines.items()))
    rows, columns = steps.shape
    frame = f'viewBox="0 0 {columns} {rows}" height="{height}" preserveAspectRatio="none"'
    return Markup(f'<svg class="heat" {frame} aria-hidden="true">{paths}</svg>')  # noqa: S704 - numbers only


def labels(texts: Sequence[str], height: int) -> Markup:
    """Names beside the rows of a heat map of that height, at their middles."""
    step = height / max(len(texts), 1)
    lines = (
        Markup('<text x="100%" y="{}">{}</text>').format(f"{(row + 0.5) * step:.1f}", text)
        for row, text in enumerate(texts)
    )
    return Markup('<svg class="labels" height="{}" aria-hidden="true">{}</svg>').format(height, Markup().join(lines))


def histogram_bars(counts: Mapping[int, float], first: int, last: int, title: str) -> Markup:
    """Bars from one order of magnitude to another."""
    largest = max(counts.values(), default=0)
    bars = []
    for bits in range(first, last + 1):
        height = ceil(sqrt(counts.get(bits, 0) / largest) * (BAR_HEIGHT - 2)) if largest else 0
        if height:
            bars.append(f'<path d="M{(bits - first) * BAR} {BAR_HEIGHT}v-{height}h{BAR - 1}v{height}z"/>')
    width = (last - first + 1) * BAR
    picture = Markup("".join(bars))  # noqa: S704 - numbers only
    return Markup(
        '<svg class="bars" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">'
        "<title>{2}</title>{3}</svg>"
    ).format(width, BAR_HEIGHT, title, picture)


def stack(parts: Iterable[tuple[str, str, float]]) -> Markup:
    """One bar of parts: class, title, share of 1."""
    at, pieces = 0.0, []
    for style, title, share in parts:
        piece = Markup('<rect class="{}" x="{}" width="{}" height="1"><title>{}</title></rect>')
        pieces.append(piece.format(style, f"{at * 1000:.2f}", f"{share * 1000:.2f}", title))
        at += share
    frame = Markup('<svg class="stack" viewBox="0 0 1000 1" preserveAspectRatio="none" aria-hidden="true">{}</svg>')
    return frame.format(Markup().join(pieces))


def timeline(window: Window) -> Markup:
    """The longest slices of a window, lane below lane."""
    longest = sorted(window.slices, key=lambda each: -each.duration_us)[:STATIC_SLICES]
    depths = [0] * len(window.lanes)
    for each in longest:
        depths[each.lane] = max(depths[each.lane], each.depth + 1)
    tops = [sum(depths[:lane]) + lane for lane in range(len(depths) + 1)]
    rectangles = []
    for each in sorted(longest, key=lambda one: (one.lane, one.depth, one.begin_us)):
        begin = max(each.begin_us, 0) * 1000 / window.width_us
        end = min(each.begin_us + each.duration_us, window.width_us) * 1000 / window.width_us
        place = f'x="{begin:.1f}" y="{tops[each.lane] + each.depth}" width="{max(end - begin, 0.5):.1f}"'
        rectangles.append(f'<rect class="{layer_class(each.category)}" {place} height=".92"/>')
    height = max(tops[-1] - 1, 1)
    frame = f'viewBox="0 0 1000 {height}" height="{height * ROW_HEIGHT}" preserveAspectRatio="none"'
    return Markup(f'<svg class="slices" {frame} aria-hidden="true">{"".join(rectangles)}</svg>')  # noqa: S704
