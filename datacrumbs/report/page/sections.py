"""The tables of a page, each with what its numbers are sums of."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.model.layers import LAYERS
from datacrumbs.output import counted
from datacrumbs.report import PHASES
from datacrumbs.report.human_readable import duration, moment, size
from datacrumbs.report.page import drawing
from datacrumbs.report.page.sheets import Cell, Sheet, sheet, shortened
from datacrumbs.report.sorting import depth_of
from datacrumbs.report.tracing_cost import middle_and_margin
from datacrumbs.report.views import CHANNEL, LEAST_BYTES, SIZES

if TYPE_CHECKING:
    from datacrumbs.report.page.contents import Contents
    from datacrumbs.report.windows import Slice, Window

LAYER_NAMES = {name: category for category, name in LAYERS.items()}
"""What people read -> category."""
SHADES = 5
FILE_BUDGET, OTHER_BUDGET = 1_000_000, 200_000
"""Characters of a table."""
PATTERN_KEYS = ("consecutive", "sequential", "random", "unknown")
MEASURES = ("count", "errors", "bytes", "time_us")
SPREAD = ("p50_us", "p90_us", "p99_us", "max_us")


def tiles(contents: Contents) -> list[tuple[str, str, str]]:
    """The figures at the top: name, value, what it is."""
    functions, processes = contents.functions, contents.tables["process"]
    calls = sum(row["count"] + row.get("nested", 0) for row in functions)
    about = "~" if any("count" in row.get("approximate", ()) for row in functions) else ""
    result = [("calls", f"{about}{calls:,}", f"of {counted(len(functions), 'function')}")]
    if processes.total == len(processes.rows):
        moved = sum(row["bytes"] or 0 for row in processes.rows)
        errors = sum(row["errors"] for row in processes.rows)
        result.append(("moved", f"{about}{size(moved)}", "each byte once, at the outermost call"))
        result.append(("failed", f"{about}{errors:,}", "outermost calls"))
    busy = contents.figures.busy
    if not contents.figures.unlined and busy.span_us:
        result.insert(0, ("run", duration(busy.span_us), "from the first call to the last"))
        share = f"{100 * busy.total_us / busy.span_us:.1f} %"
        result.insert(1, ("in calls", share, f"{duration(busy.total_us)}: some thread was in a traced call"))
    if known := [cost.bounds_us for cost in contents.costs if cost.is_known]:
        middle, margin = middle_and_margin((sum(low for low, _ in known), sum(high for _, high in known)))
        result.append(("tracing", middle, f"{margin}: what probes cost the threads, an estimate"))
    result.append(("files", f"{contents.tables['file'].total:,}", "with calls that are traced"))
    result.append(("processes", f"{processes.total:,}", f"in {counted(len(contents.traces.files), 'trace')}"))
    return result


def layer_parts(contents: Contents) -> list[tuple[str, str, float]]:
    """The bar of what each layer spent itself: class, title, share."""
    own = contents.figures.busy.own_us
    total = sum(own.values())
    if contents.figures.unlined or not total:
        return []
    rows = [(row["layer"], own.get(LAYER_NAMES.get(row["layer"], row["layer"]), 0)) for row in stacked(contents.layers)]
    return [
        (drawing.layer_class(LAYER_NAMES.get(name, name)), f"{shortened(name)}: {duration(time)} itself", time / total)
        for name, time in rows
    ]


def stacked(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of layers, from the application down."""
    return sorted(layers, key=lambda row: depth_of(row["layer"]))


def layer_sheet(contents: Contents) -> Sheet:
    """Cost by layer, from the application down."""
    busy = contents.figures.busy
    total = sum(busy.own_us.values())

    def own(row: dict[str, Any]) -> Cell:
        time = busy.own_us.get(LAYER_NAMES.get(row["layer"], row["layer"]), 0)
        return Cell(f"{duration(time)} · {100 * time / total:.0f} %", str(time)) if total and time else Cell("")

    def wall(row: dict[str, Any]) -> Cell:
        time = busy.wall_us.get(LAYER_NAMES.get(row["layer"], row["layer"]), 0)
        return Cell(f"{duration(time)} · {100 * time / busy.span_us:.0f} %", str(time)) if time else Cell("")

    known = () if contents.figures.unlined else ("own", "busy")
    nested = ("nested",) if any(row.get("nested") for row in contents.layers) else ()
    rows = stacked(contents.layers)
    keys = ("layer", "count", *nested, "errors", "bytes", "time_us", *known)
    caption = "Calls of each layer that are not inside another call of it; rows must not be added up. "
    if known:
        caption += (
            "Self: time of its calls without that in calls of lower layers, over all threads, and its share of all "
            "time in calls. Busy: wall-clock time in which some thread was in the layer, and its share of the run."
        )
    else:
        caption += "Self and busy time are not known where calls were only added up."
    return sheet("layers", caption, keys, rows, {"own": own, "busy": wall})


def function_sheet(contents: Contents) -> Sheet:
    """Operations, with how their durations are spread."""
    timed = [found.times for found in contents.figures.spread.values()]
    orders = [bits for found in timed for bits, number in found.items() if number]
    first, last = min(orders, default=0), max(orders, default=0)

    def spread(row: dict[str, Any]) -> Cell:
        found = contents.figures.spread.get((LAYER_NAMES.get(row["layer"], row["layer"]), row["name"]))
        if found is None or not row["timed"]:
            return Cell("")
        title = ", ".join(f"{_from(bits)}: {round(number):,}" for bits, number in sorted(found.times.items()))
        return Cell("", drawing=drawing.histogram_bars(found.times, first, last, title))

    nested = ("nested",) if any(row.get("nested") for row in contents.functions) else ()
    keys = ("name", "layer", "count", *nested, "errors", "bytes", "bandwidth", "time_us", *SPREAD, "spread")
    caption = (
        "Calls that are not inside another call of their layer; nested ones are apart. Bytes/s: bytes by the time that "
        f"the calls took. Durations: calls by powers of two from {_from(first)} to {_from(last + 1)}, "
        "a bar's height is the square root of its count."
    )
    return sheet("operations", caption, keys, contents.functions, {"spread": spread}, budget=FILE_BUDGET // 2)


def _from(bits: int) -> str:
    return duration((1 << bits >> 1) / 1000) if bits > 10 else "0"


def size_sheet(contents: Contents) -> Sheet | None:
    """How large the requests were."""
    rows = []
    for row in contents.functions:
        found = contents.figures.spread.get((LAYER_NAMES.get(row["layer"], row["layer"]), row["name"]))
        if found is None or not any(found.sizes.values()):
            continue
        total = sum(found.sizes.values())
        name = Cell(shortened(row["name"]), is_text=True)
        cells = [name, Cell(shortened(row["layer"]), is_text=True), _mean(row, total)]
        for low, high in pairwise((*(least.bit_length() for least in LEAST_BYTES), 65)):
            number = sum(calls for bits, calls in found.sizes.items() if low <= bits < high)
            shade = -(-round(number) * SHADES // max(round(total), 1))
            cells.append(Cell(f"{round(number):,}" if round(number) else "", mark=f"shade-{shade}" if shade else ""))
        rows.append(tuple(cells))
    if not rows:
        return None
    headings = (("function", True), ("layer", True), ("mean", False), *((name, False) for name in SIZES))
    caption = (
        "Calls by the bytes that they moved, of those that say how many; a column reaches to the next one. "
        "The darker, the larger the share of the function's calls."
    )
    return Sheet("sizes", caption, headings, tuple(rows))


def _mean(row: dict[str, Any], calls: float) -> Cell:
    mean = (row["bytes"] or 0) / calls
    return Cell(size(round(mean)), f"{mean:.0f}")


def pattern_sheet(contents: Contents) -> Sheet | None:
    """In which order files were read and written."""
    found = contents.figures.patterns
    if found is None or not found.rows:
        return None
    keys = ("path", "access", "count", *PATTERN_KEYS, "bytes", "mean_bytes", "largest_bytes", "time_us")
    caption = (
        "Requests at the border to the kernel that moved bytes, by where they begin: where the last one on their "
        "descriptor ended (consecutive), further on (sequential) or before that (random). Unknown: another descriptor, "
        "thread or process may have moved the position."
    )
    return sheet("patterns", caption, keys, found.rows, total=found.total, budget=OTHER_BUDGET)


def file_sheet(contents: Contents) -> Sheet:
    """The files with the most time."""
    found = contents.tables["file"]
    keys = ("path", "layers", "opens", *MEASURES, "bandwidth", "p99_us", "max_us")
    caption = "Sums of the outermost calls on each file in each thread; layer says whose calls these are."
    return sheet("files", caption, keys, found.rows, total=found.total, budget=FILE_BUDGET)


def channel_sheet(contents: Contents) -> Sheet:
    """Pipes, sockets and terminals: what programs wait on."""
    found = contents.tables["channel"]
    caption = "What programs wait on and that are no files. Sums of the outermost calls on each in each thread."
    keys = ("path", "layers", *MEASURES, "max_us")
    return sheet("channels", caption, keys, found.rows, total=found.total, budget=OTHER_BUDGET)


def failure_sheet(contents: Contents) -> Sheet:
    """Failed calls by file, errno and function."""
    found = contents.tables["failure"]
    keys = ("path", "error", "meaning", "layer", "name", "count", "time_us")
    caption = "Failed calls of every layer: a failure that one layer passes on to the next is in a row of each."
    if contents.figures.unlined:
        caption += " Of calls that were only added up, it is not known which failed how; they are not here."
    rows = [{**row, "path": row["path"] or "(no file)"} for row in found.rows]
    return sheet("errors", caption, keys, rows, total=found.total, budget=OTHER_BUDGET)


def process_sheet(contents: Contents) -> Sheet:
    """Each process, or rank of a parallel job."""
    found = contents.tables["process"]
    total = sum(row["time_us"] or 0 for row in found.rows)

    def share(row: dict[str, Any]) -> Cell:
        part = 100 * (row["time_us"] or 0) / total if total else 0
        return Cell(f"{part:.1f} %", f"{part:.4f}")

    several = len({file.host for file in contents.traces.files}) > 1
    several_keys, known = ("host",) if several else (), ("command_line",) if contents.traces.command_lines else ()
    keys = (*several_keys, "process", "pid", "layers", *MEASURES, "share", "p99_us", "max_us", *known)
    caption = "Sums of the outermost calls in each thread of the process. Share: of the time of all processes here."
    return sheet("processes", caption, keys, found.rows, {"share": share}, total=found.total, budget=OTHER_BUDGET)


def stretch_sheet(contents: Contents) -> Sheet:
    """The heat map in numbers, coarser."""
    found = contents.figures.heat
    rows = []
    for part in np.array_split(np.arange(found.stretches), min(PHASES, found.stretches)):
        time = found.time_us[:, part].sum(axis=1)
        dearest = int(time.argmax())
        name = contents.traces.processes.get(found.places[dearest], "")
        share = f"{shortened(name)} {found.places[dearest][1]}".strip() if time[dearest] else ""
        begin = int(part[0]) * found.width_us
        total, moved = float(time.sum()), float(found.bytes[:, part].sum())
        cells = (
            Cell(moment(begin), str(begin)),
            Cell(duration(total) if total else "", f"{total:.0f}"),
            Cell(size(round(moved)) if moved else "", f"{moved:.0f}"),
            Cell(share, is_text=True),
        )
        rows.append(cells)
    headings = (("from", False), ("time", False), ("bytes", False), ("most time in", True))
    caption = "Time in calls, over all processes, in each stretch of the run, counted from the first call."
    return Sheet("stretches", caption, headings, tuple(rows))


def window_sheet(contents: Contents) -> Sheet | None:
    """The dearest windows."""
    if not contents.figures.windows:
        return None
    rows = []
    for number, window in enumerate(contents.figures.windows, 1):
        longest = max(window.slices, key=lambda each: (not re.search(CHANNEL, each.path), _inside(window, each)))
        cells = (
            Cell(f"{number}"),
            Cell(moment(window.begin_us), str(window.begin_us)),
            Cell(duration(window.time_us), str(window.time_us)),
            Cell(f"{window.calls:,}"),
            Cell(shortened(longest.name), is_text=True),
            Cell(duration(_inside(window, longest)), str(_inside(window, longest))),
            Cell(shortened(longest.path), is_text=True, mark="path"),
        )
        rows.append(cells)
    names = ("window", "from", "time", "calls", "longest call", "in it", "on")
    headings = tuple((name, name in {"longest call", "on"}) for name in names)
    width = duration(contents.figures.windows[0].width_us)
    caption = (
        f"The stretches of {width} in which all processes together spent the most time in calls, "
        "not counting waits on pipes, sockets and terminals."
    )
    if contents.figures.estimated:
        caption += " Only calls with lines of their own can be shown."
    return Sheet("windows", caption, headings, tuple(rows))


def _inside(window: Window, each: Slice) -> int:
    return min(each.begin_us + each.duration_us, window.width_us) - max(each.begin_us, 0)
